-- How many agents a board's lead may have made beside it: leads are agents themselves, and make no end of others.
alter table boards add column max_agents integer not null default 10 check (max_agents between 1 and 10000);
