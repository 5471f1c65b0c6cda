-- The move from the earlier server (v1): who came over when, and its books as they were.

create table v1_imported_users (
  user_id integer primary key references users (id) on delete restrict,
  -- what was bought before this was paid by v1
  imported_at timestamptz not null
);

-- v1's ledger rows, for questions about the past. Nothing reads them to decide anything.
create table v1_archive (
  table_name text not null,
  row_id text not null,
  user_id integer references users (id) on delete restrict,
  content jsonb not null check (jsonb_typeof(content) = 'object'),
  archived_at timestamptz not null,
  primary key (table_name, row_id)
);
create index ix_v1_archive_user on v1_archive (user_id);

create function guard_v1_archive() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' and exists (select 1 from users where id = old.user_id and status in ('deleting', 'deleted')) then
    return old;
  end if;
  raise exception 'the archive is read-only'
    using errcode = 'integrity_constraint_violation', constraint = 'v1_archive_read_only';
end $$;
create trigger v1_archive_keep before update or delete on v1_archive
  for each row execute function guard_v1_archive();
create trigger v1_archive_no_truncate before truncate on v1_archive execute function guard_v1_archive();
