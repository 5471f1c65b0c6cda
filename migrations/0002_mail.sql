-- Queued mail. A row names what to say and to whom; the text is rendered when it is sent, so no row holds a token.

create table emails (
  id bigint generated always as identity primary key,
  user_id integer references users (id) on delete set null,
  kind varchar(50) not null,
  recipient text,
  variables jsonb not null default '{}' check (jsonb_typeof(variables) = 'object'),
  mail_token_id bigint references mail_tokens (id) on delete set null,
  status text not null default 'queued' check (status in ('queued', 'sent', 'failed', 'bounced', 'expired', 'cancelled')),
  attempts integer not null default 0,
  last_failure text,
  created_at timestamptz not null,
  expires_at timestamptz,
  ended_at timestamptz,
  check ((status = 'queued') = (ended_at is null)),
  check (status <> 'queued' or recipient is not null)
);
create index ix_emails_user on emails (user_id);
create index ix_emails_status on emails (status, created_at);

-- Where mail goes in development and test: the messages themselves, to be read at /dev/outbox.
create table mail_outbox (
  id bigint generated always as identity primary key,
  message_id text not null unique,
  kind varchar(50) not null,
  recipient text not null,
  subject text not null,
  text_body text not null,
  html_body text not null,
  created_at timestamptz not null
);
create index ix_mail_outbox_recipient on mail_outbox (recipient, id desc);
create index ix_mail_outbox_created on mail_outbox (created_at);
