-- Commands that wait for an agent, are with it, or have come to their end.
create table agent_commands (
  id uuid primary key,
  -- The order in which an agent gets them.
  seq bigint generated always as identity,
  organization_id uuid not null references organizations on delete cascade,
  agent_id uuid not null references agents on delete cascade,
  name text not null,
  args jsonb,
  status text not null default 'queued'
    check (status in ('queued', 'delivered', 'completed', 'failed', 'expired', 'cancelled')),
  result jsonb,
  error jsonb,
  -- How often it was handed to the agent.
  attempts integer not null default 0,
  created_at timestamptz(3) not null,
  delivered_at timestamptz(3),
  completed_at timestamptz(3),
  expires_at timestamptz(3)
);
create index agent_commands_by_agent on agent_commands (agent_id, created_at desc, (id::text) desc);
create index agent_commands_waiting on agent_commands (agent_id, seq) where status in ('queued', 'delivered');
create index agent_commands_expiring on agent_commands (expires_at) where status in ('queued', 'delivered');
create index agent_commands_ended on agent_commands (completed_at) where completed_at is not null;
