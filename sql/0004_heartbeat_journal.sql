-- Heartbeats as they come: one row for many, added and never changed. A checkpoint carries the newest of each agent over
-- to presence now and then, and drops the rows whose heartbeats are all there.

create table heartbeat_journal (
  seq bigint generated always as identity primary key,
  -- The newest of its times; `before` says how many milliseconds earlier each agent was seen.
  at timestamptz(3) not null,
  agents integer[] not null,
  before bigint[] not null
) with (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 50000
);
-- To compress them costs more than it saves.
alter table heartbeat_journal alter agents set storage external, alter before set storage external;

-- When each agent was last seen, in whichever place it stands.
create view last_seen as
  select p.agent_no, greatest(p.last_seen_at, j.last_seen_at) as last_seen_at
  from presence p left join (
    select agent_no, max(at - before_ms * interval '1 millisecond') as last_seen_at
    from heartbeat_journal, unnest(agents, before) beat (agent_no, before_ms) group by agent_no
  ) j using (agent_no);
