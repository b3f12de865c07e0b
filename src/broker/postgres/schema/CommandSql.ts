/**
 * The functions over a user's commands, from the device that sends one to the process
 * that has its run, and what became of each.
 *
 * A command is open once it is written down, and from then on decided exactly once, in
 * one step that removes it and writes its outcome: by the process that took it, by
 * whoever withdraws it before one did, or by the ending of its run. Only a process in
 * which the run was begun takes it. What a process took, nobody else decides, unless
 * the run was ended as lost since that process died: then it was accepted, since it may
 * have been done.
 *
 * Each function locks the user's log first, as an append does, and answers what
 * `commands/CommandReply.ts` reads, with who is to be told of what was decided: senders,
 * user, id, digest and outcome of each.
 *
 * @since 0.2.0
 */
import * as Command from "../../../protocol/command/Command.ts"
import * as CommandLimits from "../../commands/CommandLimits.ts"

const inSql = (outcome: Command.Outcome): string => `'${JSON.stringify(outcome)}'`

const ended = inSql(Command.refused("ended"))
const unavailable = inSql(Command.refused("unavailable"))
const unknownRun = inSql(Command.refused("unknownRun"))
const notAllowed = inSql(Command.refused("notAllowed", { message: "nobody takes commands for this run" }))

// For so long a log that has just begun may have been forgotten by a server that took over.
const forgottenMs = 1_000

/**
 * What makes the functions, in the schema that is first in the search path.
 *
 * @category constants
 * @since 0.2.0
 */
export const functions = `
-- Whether nobody decides about a command any more, since its run has ended: none took it, or who did was taken for dead, or had
-- all the time for which an outcome is remembered.
create function is_over_for(s standings, c commands, p_now bigint) returns boolean language sql immutable as $$
  select s.run is not null and s.state <> 'a'
    and (coalesce(c.taker, '') = '' or c.taker = any(s.barred) or p_now > c.till + ${Command.outcomeMemoryMs})
$$;

-- Decides a command: removes it and writes its outcome.
create function close_command(
  p_user text, p_id text, p_digest text, p_senders text[], p_outcome text
) returns jsonb language plpgsql as $$
begin
  delete from commands where name = p_user and id = p_id;
  insert into outcomes (name, id, at, digest, outcome) values (p_user, p_id, now_ms(), p_digest, p_outcome)
    on conflict (name, id) do update set at = excluded.at, digest = excluded.digest, outcome = excluded.outcome;
  return jsonb_build_array(jsonb_build_array('decided', p_outcome),
    jsonb_build_array(jsonb_build_array(p_senders, p_user, p_id, p_digest, p_outcome)));
end $$;

-- What became of a command, as a reply, where that is certain, or its id was another's.
create function known_outcome(p_user text, p_id text, p_digest text) returns jsonb language sql stable as $$
  select case
      when x.digest = p_digest then jsonb_build_array(jsonb_build_array('decided', x.outcome), '[]'::jsonb)
      else '[["conflict"], []]'::jsonb
    end
  from outcomes x where x.name = p_user and x.id = p_id and x.at > now_ms() - ${Command.outcomeMemoryMs}
  union all
  select '[["conflict"], []]'::jsonb from commands c where c.name = p_user and c.id = p_id and c.digest <> p_digest
  limit 1
$$;

-- p: user, epoch, id, digest, run, body, sender, within, isFinal.
create function put_command(p jsonb) returns jsonb language plpgsql as $$
declare
  u users;
  s standings;
  c commands;
  reply jsonb;
  now bigint := now_ms();
  waiting int;
  known int;
  size bigint;
  is_folded boolean;
begin
  u := opened(p->>'user', p->>'epoch');
  reply := known_outcome(u.name, p->>'id', p->>'digest');
  if reply is not null then return reply; end if;
  select * into c from commands where name = u.name and id = p->>'id';
  select * into s from standings where log = u.id and run = p->>'run';
  if c.id is null then
    is_folded := s.run is null and exists (select from folds where log = u.id and run = p->>'run');
    if s.run is null and not is_folded and not (p->>'isFinal')::boolean and u.opened > now - ${forgottenMs} then
      return '[["unsure"], []]'::jsonb;
    end if;
    waiting := (select count(*) from commands where name = u.name);
    select count(*), coalesce(sum(octet_length(x.id) + octet_length(x.outcome)), 0) into known, size
      from outcomes x where x.name = u.name and x.at > now - ${Command.outcomeMemoryMs};
    if waiting >= ${CommandLimits.maxOpen} or known + waiting >= ${CommandLimits.maxKnown}
      or size + octet_length(p->>'body') > ${CommandLimits.maxBytes} then
      return jsonb_build_array(jsonb_build_array('tooMany', waiting, known + waiting), '[]'::jsonb);
    end if;
    if s.run is not null and s.state <> 'a' or is_folded then
      return close_command(u.name, p->>'id', p->>'digest', array[p->>'sender'], ${ended});
    elsif s.run is null then
      return close_command(u.name, p->>'id', p->>'digest', array[p->>'sender'], ${unknownRun});
    end if;
    insert into commands (name, id, number, digest, till, senders, run, body)
      values (u.name, p->>'id', nextval('command_numbers'), p->>'digest', now + (p->>'within')::bigint, array[p->>'sender'],
        p->>'run', p->>'body')
      returning * into c;
  elsif is_over_for(s, c, now) then
    return close_command(u.name, c.id, c.digest, c.senders || (p->>'sender'), outcome_after(c.taker));
  else
    update commands set till = greatest(till, now + (p->>'within')::bigint),
      senders = case when p->>'sender' = any(senders) or cardinality(senders) > 16 then senders else senders || (p->>'sender') end
      where name = u.name and id = c.id returning * into c;
  end if;
  return jsonb_build_array(
    jsonb_build_array('open', c.number, case when c.taker <> '' then c.taker when s.state = 'a' then s.home else '' end),
    '[]'::jsonb
  );
end $$;

create function post_command(p jsonb) returns jsonb language sql as $$
  insert into mailbox (process, name, number) values (p->>'process', p->>'user', (p->>'number')::bigint)
    on conflict (process, name) do update set number = greatest(mailbox.number, excluded.number);
  select 'null'::jsonb;
$$;

create function clear_mail(p jsonb) returns jsonb language sql as $$
  delete from mailbox m using jsonb_array_elements(p->'mail') x
    where m.process = p->>'process' and m.name = x->>0 and m.number = (x->>1)::bigint;
  select 'null'::jsonb;
$$;

-- Takes the next command that is for a process. What is past its time is refused instead. p: user, process, left.
create function take_command(p jsonb) returns jsonb language plpgsql as $$
declare
  u users;
  c commands;
  s standings;
  mine commands;
  now bigint := now_ms();
  has_more int := 0;
  told jsonb := '[]';
begin
  select * into u from users where name = p->>'user' for update;
  for c in select * from commands where name = u.name order by number loop
    if c.taker = p->>'process' then
      continue when p->'left' ? c.id or now > c.till + ${Command.outcomeMemoryMs};
    elsif c.taker <> '' then
      continue;
    elsif c.till < now then
      told := told || (close_command(u.name, c.id, c.digest, c.senders, ${unavailable})->1);
      continue;
    else
      select * into s from standings where log = u.id and run = c.run;
      continue when s.run is null or s.state <> 'a' or s.home <> p->>'process';
    end if;
    if mine.id is not null then
      has_more := 1;
      exit;
    end if;
    mine := c;
  end loop;
  if mine.id is null then return jsonb_build_array('[]'::jsonb, told); end if;
  update commands set taker = p->>'process' where name = u.name and id = mine.id;
  return jsonb_build_array(jsonb_build_array(mine.id, mine.digest, mine.run, mine.body, has_more), told);
end $$;

-- Decides a command that a process took, unless it was decided. p: user, id, digest, run, outcome ('log' and 'end' as in
-- CommandCaller).
create function decide_command(p jsonb) returns jsonb language plpgsql as $$
declare
  u users;
  c commands;
  s standings;
  known text;
  result text := p->>'outcome';
begin
  select * into u from users where name = p->>'user' for update;
  select x.outcome into known from outcomes x where x.name = p->>'user' and x.id = p->>'id';
  if known is not null then return jsonb_build_array(jsonb_build_array('decided', known), '[]'::jsonb); end if;
  select * into c from commands where name = p->>'user' and id = p->>'id';
  if result in ('log', 'end') then
    select * into s from standings where log = u.id and run = p->>'run';
    if s.state = 'a' then
      if result = 'end' then return '[["open"], []]'::jsonb; end if;
      result := ${notAllowed};
    else
      result := case when s.run is null then ${unknownRun} else ${ended} end;
    end if;
  end if;
  return close_command(p->>'user', p->>'id', p->>'digest', coalesce(c.senders, '{}'), result);
end $$;

-- Withdraws a command that nobody took, also one that was not written down: what comes late of it is refused as well.
create function withdraw_command(p jsonb) returns jsonb language plpgsql as $$
declare
  u users;
  c commands;
  s standings;
  reply jsonb;
  is_over boolean;
begin
  u := opened(p->>'user', p->>'epoch');
  reply := known_outcome(u.name, p->>'id', p->>'digest');
  if reply is not null then return reply; end if;
  select * into c from commands where name = u.name and id = p->>'id';
  select * into s from standings where log = u.id and run = p->>'run';
  is_over := is_over_for(s, c, now_ms());
  if coalesce(c.taker, '') <> '' and not is_over then return '[["taken"], []]'::jsonb; end if;
  return close_command(u.name, p->>'id', p->>'digest', coalesce(c.senders, '{}'),
    case when is_over then outcome_after(c.taker) else ${unavailable} end);
end $$;
`
