create table stories (
  id integer generated always as identity primary key,
  title varchar(255) not null check (title ~ '\S'),
  author varchar(255) not null default '',
  description text not null default '',
  content text not null check (content ~ '\S'),
  position integer not null default 9999,
  cover_key text,
  is_published boolean not null default true,
  -- the file a built-in story came from; null for stories of an operator
  seed_slug text unique,
  seed_hash bytea,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index ix_stories_order on stories (position, id) where is_published;
