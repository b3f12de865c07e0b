/**
 * The table and the functions by which one process begins a run that several are asked
 * for: a row holds the lease of the process that does.
 *
 * @since 0.2.0
 */
import { busy } from "./Tables.ts"

/**
 * What makes them, in the schema that is first in the search path.
 *
 * @category constants
 * @since 0.2.0
 */
export const claims = `
create table claims (
  name text not null,
  run text not null,
  lease text not null,
  primary key (name, run)
) ${busy};

-- Writes down whose it is to begin a run, where what stands there is expected (nothing: ''), and gives what stands there then.
create function claim_run(p jsonb) returns jsonb language plpgsql as $$
declare
  found_lease text;
begin
  if p->>'over' = '' then
    insert into claims (name, run, lease) values (p->>'user', p->>'run', p->>'lease') on conflict (name, run) do nothing;
  else
    update claims set lease = p->>'lease' where name = p->>'user' and run = p->>'run' and lease = p->>'over';
  end if;
  select lease into found_lease from claims where name = p->>'user' and run = p->>'run';
  return to_jsonb(coalesce(found_lease, ''));
end $$;

create function unclaim_run(p jsonb) returns jsonb language sql as $$
  delete from claims where name = p->>'user' and run = p->>'run' and split_part(lease, '.', 1) = p->>'process';
  select 'null'::jsonb;
$$;
`
