-- The activity log by days (UTC), so that what is old goes as a whole. The server makes the days; see
-- src/store/activity-partitions.ts. What there is stays where it lies: it becomes one partition, up to the end of today.

drop index activity_by_organization, activity_by_board, activity_by_agent;
alter table activity
  drop constraint activity_pkey,
  drop constraint activity_organization_id_fkey,
  alter column seq drop identity;
alter table activity rename to activity_early;

create table activity (
  id uuid not null,
  -- Order of arrival, for paging.
  seq bigint generated always as identity,
  -- Not checked against organizations row by row, which costs a third of the pace: whoever writes an entry has the
  -- organization from a row that is.
  organization_id uuid not null,
  type text not null,
  message text not null,
  board_id uuid,
  agent_id uuid,
  task_id uuid,
  created_at timestamptz(3) not null,
  -- By time first: new entries then lie together in it.
  primary key (created_at, id)
) partition by range (created_at);
create index activity_by_organization on activity (organization_id, seq);
create index activity_by_board on activity (board_id, seq) where board_id is not null;
create index activity_by_agent on activity (agent_id, seq) where agent_id is not null;

-- For entries of a day that has not been made: a clock that jumped must not keep anything from being committed.
create table activity_default partition of activity default;

do $$
declare
  first_day timestamptz;
  tomorrow timestamptz := date_trunc('day', now(), 'UTC') + interval '24 hours';
begin
  perform setval(pg_get_serial_sequence('activity', 'seq'), max(seq)) from activity_early;
  with ahead as (delete from activity_early where created_at >= tomorrow returning *)
  insert into activity (id, seq, organization_id, type, message, board_id, agent_id, task_id, created_at)
    overriding system value
    select id, seq, organization_id, type, message, board_id, agent_id, task_id, created_at from ahead;
  select date_trunc('day', min(created_at), 'UTC') into first_day from activity_early;
  if first_day is null then
    drop table activity_early;
  else
    execute format('alter table activity attach partition activity_early for values from (%L) to (%L)', first_day, tomorrow);
  end if;
end $$;
