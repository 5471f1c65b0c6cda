-- Shared counters of limits, back-off and used proofs. Unlogged: short-lived, and a crash of the database may forget them.
create unlogged table rate_counters (
  key text primary key check (char_length(key) between 1 and 200),
  count integer not null check (count >= 0),
  window_ends timestamptz not null
);
create index ix_rate_counters_ends on rate_counters (window_ends);

-- "Send me a link" as asked, known account or not. The job that answers it removes the row, and with it the address.
create table mail_requests (
  id bigint generated always as identity primary key,
  kind text not null check (kind in ('confirm', 'reset')),
  email text not null check (char_length(email) <= 254),
  created_at timestamptz not null
);
create index ix_mail_requests_email on mail_requests (email);

-- Counting the link mails of an address within an hour.
create index ix_mail_tokens_address on mail_tokens (address, created_at) where kind = 'confirm';

-- What an erasure removed: a deletion's items name the thing at its place, and when it was last seen to be gone.
-- Besides remote voices (`slot`) and objects: folders that must be empty at the end, jobs that were running at the time.
alter table account_deletions
  add column needs_attention_at timestamptz,
  add column receipt jsonb check (receipt is null or jsonb_typeof(receipt) = 'object'),
  add column notice_email_id bigint references emails (id) on delete set null;
alter table account_deletion_items
  drop constraint account_deletion_items_kind_check,
  add constraint account_deletion_items_kind_check check (kind in ('slot', 'object', 'folder', 'job')),
  add column content text,
  add column provider text,
  add column external_id text,
  add column intent_token text,
  add column created_at timestamptz not null default now();
-- Why people leave, by month, kept apart from who they were.
create table account_deletion_reasons (
  month date not null check (extract(day from month) = 1),
  reason varchar(500) not null
);
create index ix_account_deletion_reasons_month on account_deletion_reasons (month);
create index ix_account_deletions_open on account_deletions (next_attempt_at) where completed_at is null;
create index ix_account_deletion_items_open on account_deletion_items (deletion_id) where verified_at is null;

alter table account_exports
  add column missing_files integer not null default 0,
  add column attempts integer not null default 0;
create index ix_account_exports_expiry on account_exports (expires_at) where status = 'ready';

-- Deleting old link tokens clears the reference in the mails that carried them.
create index ix_emails_mail_token on emails (mail_token_id) where mail_token_id is not null;

-- Mails have the kinds of the operations page from now on.
update emails set kind = renamed.new_kind
  from (values ('confirmation', 'confirm_email'), ('reset', 'reset_password'), ('verified', 'email_confirmed'),
    ('email_change_done', 'email_changed'), ('export_ready', 'data_export_ready')) as renamed (old_kind, new_kind)
  where kind = renamed.old_kind;
update mail_outbox set kind = renamed.new_kind
  from (values ('confirmation', 'confirm_email'), ('reset', 'reset_password'), ('verified', 'email_confirmed'),
    ('email_change_done', 'email_changed'), ('export_ready', 'data_export_ready')) as renamed (old_kind, new_kind)
  where kind = renamed.old_kind;
