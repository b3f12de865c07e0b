/**
 * The functions over leases, and over who has the runs of a user.
 *
 * No time is told here, since the server's clock may step: see `leases/Leases.ts`.
 * Leases of others are claimed only where nobody else writes to them at that moment, so
 * that two processes that take each other for dead wait for neither.
 *
 * @since 0.2.0
 */

// So many of others are looked at: those that died are among them, unless more have died.
const maxOthers = 128

// So many users of a mailbox are told at once.
const maxMail = 128

/**
 * What makes the functions, in the schema that is first in the search path.
 *
 * @category constants
 * @since 0.2.0
 */
export const functions = `
-- Renews a lease, or takes it if it is not known. A lease is alive (a), claimed (c) or gone (g). p: lease, process, seen (users of
-- the mailbox that were seen to, and numbers), over (leases to claim, and counts that they must still have).
create function beat(p jsonb) returns jsonb language plpgsql as $$
declare
  answer text := 'lost';
  found_state "char";
begin
  select state into found_state from leases where lease = p->>'lease' for update;
  if found_state is null then
    insert into leases (lease, state, count) values (p->>'lease', 'a', nextval('lease_counts')) on conflict (lease) do nothing;
    answer := 'taken';
  elsif found_state = 'a' then
    update leases set count = nextval('lease_counts') where lease = p->>'lease';
    answer := 'held';
  end if;
  delete from mailbox m using (
    select x->>0 as name, (x->>1)::bigint as number from jsonb_array_elements(p->'seen') x order by 1
  ) s where m.process = p->>'process' and m.name = s.name and m.number = s.number;
  update leases set state = 'c' where lease in (
    select l.lease from leases l join jsonb_array_elements(p->'over') x on l.lease = x->>0 and l.count = (x->>1)::bigint
    where l.state = 'a' for update of l skip locked
  );
  return jsonb_build_array(
    answer,
    (select coalesce(jsonb_agg(jsonb_build_array(x.lease, x.count)), '[]')
      from (select * from leases where state = 'a' and lease <> p->>'lease' order by count limit ${maxOthers}) x),
    (select coalesce(jsonb_agg(x.lease), '[]') from (select * from leases where state = 'c' order by count limit 64) x),
    (select coalesce(jsonb_agg(jsonb_build_array(x.name, x.number)), '[]')
      from (select * from mailbox where process = p->>'process' order by number limit ${maxMail}) x)
  );
end $$;

-- Notes that a lease has runs of a user. One that is being claimed is waited for, since under a dead one nothing may be written.
create function enter_lease(p jsonb) returns jsonb language plpgsql as $$
begin
  perform from leases where lease = p->>'lease' and state = 'a' for share;
  if not found then return 'false'::jsonb; end if;
  insert into lease_users (lease, name, mark) values (p->>'lease', p->>'user', (p->>'mark')::bigint)
    on conflict (lease, name) do update set mark = excluded.mark;
  return 'true'::jsonb;
end $$;

create function leave_lease(p jsonb) returns jsonb language sql as $$
  delete from lease_users l using jsonb_array_elements(p->'entries') x
    where l.lease = p->>'lease' and l.name = x->>0 and l.mark = (x->>1)::bigint;
  select 'null'::jsonb;
$$;

create function release_lease(p jsonb) returns jsonb language sql as $$
  delete from leases l where l.lease = p->>'lease' and l.state = 'a'
    and not exists (select from lease_users x where x.lease = l.lease);
  select 'null'::jsonb;
$$;

create function lease_count(p jsonb) returns jsonb language sql stable as
$$ select to_jsonb((select count from leases where lease = p->>'lease' and state = 'a')) $$;

create function lease_users_of(p jsonb) returns jsonb language sql stable as
$$ select coalesce(jsonb_agg(x.name), '[]') from (select name from lease_users where lease = p->>'lease' order by random() limit 64) x $$;

-- Notes that the runs of some users of a claimed lease were ended; with the last the lease is gone.
create function finish_lease(p jsonb) returns jsonb language plpgsql as $$
begin
  delete from lease_users where lease = p->>'lease' and name in (select jsonb_array_elements_text(p->'users'));
  if exists (select from lease_users where lease = p->>'lease') then return 'false'::jsonb; end if;
  update leases set state = 'g', count = nextval('lease_counts') where lease = p->>'lease' and state = 'c';
  return 'true'::jsonb;
end $$;

create function has_runs(p jsonb) returns jsonb language sql stable as $$
  select to_jsonb(exists (
    select from standings s join users u on u.id = s.log
    where u.name = p->>'user' and s.state = 'a' and (s.lease = p->>'lease' or s.heir = p->>'lease')
  ))
$$;

create function carry_over(p jsonb) returns jsonb language plpgsql as $$
declare
  found_log bigint;
begin
  select id into found_log from users where name = p->>'user' for update;
  update standings set lease = p->>'to', v = v + 1 where log = found_log and state = 'a' and lease = p->>'from';
  return 'null'::jsonb;
end $$;

-- The active runs of a user: run, lease, thread, version.
create function active_runs(p jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_agg(jsonb_build_array(s.run, s.lease, s.thread, s.v)), '[]')
  from standings s join users u on u.id = s.log where u.name = p->>'user' and s.state = 'a'
$$;

-- The process that had a run is barred from it, and whoever takes it over has it from now on.
create function barred_by(s standings, lease text) returns text[] language sql immutable as $$
  select case
    when split_part(s.lease, '.', 1) = split_part(lease, '.', 1) then array_remove(s.barred, split_part(lease, '.', 1))
    else (array_remove(array_remove(s.barred, split_part(s.lease, '.', 1)), split_part(lease, '.', 1))
      || split_part(s.lease, '.', 1))[greatest(1, cardinality(s.barred) - 62):]
  end
$$;

-- Takes a run for a lease, if it is free, or that process's, or nobody's that lives; else writes down who waits for it, unless
-- somebody does. Gives 'taken', or 'waiting', the lease that has it and its count, or 'gone' where it is not active.
create function take_run(p jsonb) returns jsonb language plpgsql as $$
declare
  found_log bigint;
  s standings;
  own text := p->>'lease';
  held bigint;
begin
  select id into found_log from users where name = p->>'user' for update;
  select * into s from standings where log = found_log and run = p->>'run' and state = 'a';
  if s.run is null then return jsonb_build_array('gone'); end if;
  if not s.free and split_part(s.lease, '.', 1) <> split_part(own, '.', 1) then
    select count into held from leases where lease = s.lease and state = 'a';
  end if;
  if held is null then
    update standings set lease = own, home = split_part(own, '.', 1), free = false, heir = '', barred = barred_by(s, own), v = v + 1
      where log = found_log and run = s.run;
    return jsonb_build_array('taken');
  end if;
  if s.heir = '' then
    update standings set heir = own, v = v + 1 where log = found_log and run = s.run;
  end if;
  return jsonb_build_array('waiting', s.lease, held);
end $$;

-- Waits for a run no more.
create function leave_run(p jsonb) returns jsonb language plpgsql as $$
declare
  found_log bigint;
begin
  select id into found_log from users where name = p->>'user' for update;
  update standings set heir = '', v = v + 1
    where log = found_log and run = p->>'run' and state = 'a' and split_part(heir, '.', 1) = p->>'process';
  return 'null'::jsonb;
end $$;

create function let_go(p jsonb) returns jsonb language plpgsql as $$
declare
  found_log bigint;
begin
  select id into found_log from users where name = p->>'user' for update;
  update standings set free = true, heir = '', v = v + 1
    where log = found_log and run in (select jsonb_array_elements_text(p->'runs')) and state = 'a'
      and split_part(lease, '.', 1) = p->>'process';
  return 'null'::jsonb;
end $$;

-- Gives the runs of a dead lease that somebody waits for to whoever does, if its own lease is alive.
create function bequeath(p jsonb) returns jsonb language plpgsql as $$
declare
  found_log bigint;
begin
  select id into found_log from users where name = p->>'user' for update;
  update standings s set lease = s.heir, home = split_part(s.heir, '.', 1), free = true, heir = '', barred = barred_by(s, s.heir),
    v = v + 1
    where s.log = found_log and s.state = 'a' and s.lease = p->>'lease'
      and exists (select from leases l where l.lease = s.heir and l.state = 'a');
  return 'null'::jsonb;
end $$;
`
