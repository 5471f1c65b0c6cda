-- Which period of each schedule was last started: any number of schedulers may run, each period starts once.
create table schedules (
  name text primary key,
  last_period timestamptz not null,
  enqueued_at timestamptz not null default now()
);

-- Worker and scheduler processes say here that they are alive.
create table process_heartbeats (
  id uuid primary key,
  role text not null,
  started_at timestamptz not null,
  seen_at timestamptz not null
);
create index ix_process_heartbeats_seen on process_heartbeats (role, seen_at);
