-- Organizations and who may act in them. Every table below names its organization.

create table organizations (
  id uuid primary key,
  name text not null,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now()
);

create table users (
  id uuid primary key,
  name text not null,
  created_at timestamptz(3) not null default now()
);

create table members (
  organization_id uuid not null references organizations on delete cascade,
  user_id uuid not null references users on delete cascade,
  role text not null check (role in ('owner', 'admin', 'member')),
  all_boards_read boolean not null default false,
  all_boards_write boolean not null default false,
  created_at timestamptz(3) not null default now(),
  primary key (organization_id, user_id)
);

create table user_tokens (
  id text primary key,
  organization_id uuid not null,
  user_id uuid not null,
  name text not null,
  hash bytea not null,
  created_at timestamptz(3) not null default now(),
  expires_at timestamptz(3),
  foreign key (organization_id, user_id) references members on delete cascade
);
create index user_tokens_by_organization on user_tokens (organization_id, created_at desc, (id::text) desc);

-- Gateways, boards, agents.

create table gateways (
  id uuid primary key,
  organization_id uuid not null references organizations on delete cascade,
  name text not null,
  kind text not null check (kind in ('openclaw', 'local', 'direct')),
  url text,
  -- The gateway's token, sealed with the server's secret key.
  token_sealed bytea,
  main_session_key text,
  workspace_root text,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  unique (id, organization_id)
);
create index gateways_by_organization on gateways (organization_id, created_at desc, (id::text) desc);

create table boards (
  id uuid primary key,
  organization_id uuid not null references organizations on delete cascade,
  gateway_id uuid,
  name text not null,
  slug text not null,
  type text not null default 'goal',
  objective text,
  success_metrics jsonb,
  target_date date,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  unique (id, organization_id),
  constraint boards_slug_taken unique (organization_id, slug),
  foreign key (gateway_id, organization_id) references gateways (id, organization_id)
);
create index boards_by_organization on boards (organization_id, created_at desc, (id::text) desc);
create index boards_by_gateway on boards (gateway_id);

create table agents (
  id uuid primary key,
  -- A small key, so that presence stays narrow.
  no integer generated always as identity unique,
  organization_id uuid not null references organizations on delete cascade,
  board_id uuid,
  gateway_id uuid not null,
  name text not null,
  -- The name without regard to case, as the server folds it (the database's own lower() depends on its locale).
  name_key text not null,
  -- The name of the workspace folder, which stays when the name changes.
  slug text not null,
  status text not null check (status in ('provisioning', 'online', 'updating', 'deleting', 'offline')),
  is_board_lead boolean not null default false,
  is_gateway_main boolean not null default false,
  openclaw_session_id text not null,
  heartbeat_config jsonb not null,
  identity_profile jsonb,
  identity_template text,
  soul_template text,
  last_error text,
  version integer not null default 1,
  -- The work at the gateway; see machines/provisioning.ts for what these mean.
  work_state text not null default 'idle' check (work_state in ('idle', 'running', 'waiting', 'confirming', 'failed')),
  provision_action text check (provision_action in ('provision', 'update', 'delete')),
  provision_step text,
  provision_step_since timestamptz(3),
  provision_attempt integer not null default 0,
  provision_wakes integer not null default 0,
  provision_due_at timestamptz(3),
  provision_force boolean not null default false,
  provision_came_from text,
  generation integer not null default 0,
  -- The fresh token on its way to the workspace, sealed; gone once it is there.
  token_sealed bytea,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  foreign key (board_id, organization_id) references boards (id, organization_id),
  foreign key (gateway_id, organization_id) references gateways (id, organization_id)
);
create unique index agents_name_taken_on_board on agents (board_id, name_key);
create unique index agents_name_taken_on_gateway on agents (gateway_id, name_key);
create unique index agents_session_key_taken on agents (gateway_id, openclaw_session_id);
create unique index agents_slug_taken on agents (gateway_id, slug);
create index agents_by_organization on agents (organization_id, created_at desc, (id::text) desc);
create index agents_by_board on agents (board_id, created_at desc, (id::text) desc);
create index agents_by_gateway on agents (gateway_id, created_at desc, (id::text) desc);

-- What heartbeats write: narrow, in place, apart from the agents.
create table presence (
  agent_no integer primary key references agents (no) on delete cascade,
  last_seen_at timestamptz(3),
  reported jsonb
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

create table agent_tokens (
  id text primary key,
  agent_id uuid not null references agents on delete cascade,
  hash bytea not null,
  -- Rises with every token of an agent: the first use of one ends the older ones.
  serial integer not null,
  used_at timestamptz(3),
  expires_at timestamptz(3),
  created_at timestamptz(3) not null default now(),
  unique (agent_id, serial)
);

create table tasks (
  id uuid primary key,
  organization_id uuid not null references organizations on delete cascade,
  board_id uuid not null,
  title text not null,
  description text,
  status text not null default 'inbox' check (status in ('inbox', 'in_progress', 'review', 'done')),
  assigned_agent_id uuid references agents on delete set null,
  in_progress_at timestamptz(3),
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  foreign key (board_id, organization_id) references boards (id, organization_id) on delete cascade
);
create index tasks_by_organization on tasks (organization_id, created_at desc, (id::text) desc);
create index tasks_by_agent on tasks (assigned_agent_id) where assigned_agent_id is not null;

-- The activity log. Entries outlive what they tell of.
create table activity (
  id uuid primary key,
  -- Order of arrival, for paging.
  seq bigint generated always as identity,
  organization_id uuid not null references organizations on delete cascade,
  type text not null,
  message text not null,
  board_id uuid,
  agent_id uuid,
  task_id uuid,
  created_at timestamptz(3) not null
);
create index activity_by_organization on activity (organization_id, seq desc);
create index activity_by_board on activity (board_id, seq desc);
create index activity_by_agent on activity (agent_id, seq desc) where agent_id is not null;

-- Answers to requests that carried an idempotency key, kept for a day. Sealed: an answer may hold a token.
create table idempotency (
  organization_id uuid not null references organizations on delete cascade,
  principal_id uuid not null,
  method text not null,
  key text not null,
  request_hash bytea not null,
  answer_sealed bytea not null,
  created_at timestamptz(3) not null,
  primary key (organization_id, principal_id, method, key)
);
create index idempotency_by_age on idempotency (created_at);

-- With one of these, workers and devices register themselves on a board.
create table enrolments (
  id text primary key,
  organization_id uuid not null references organizations on delete cascade,
  board_id uuid not null,
  hash bytea not null,
  -- How many may still register; null: any number.
  uses_left integer check (uses_left >= 0),
  created_at timestamptz(3) not null default now(),
  expires_at timestamptz(3),
  foreign key (board_id, organization_id) references boards (id, organization_id) on delete cascade
);
create index enrolments_by_organization on enrolments (organization_id, created_at desc, id desc);
