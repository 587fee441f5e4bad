-- What the Redis ledger does in one step. Redis runs a script to its end before it looks at anything else.
--
-- KEYS: the payment, its kept answer, the totals of the day, the days that have totals, the revoked tokens.
-- ARGV: the verb and its arguments. Times are unix seconds by the clocks of those who ask.
--
-- A payment is a hash: the terms of its first claim, what was settled and confirmed, `hold:<id>` with the end of the
-- lease and the request for each hold, and `event:<n>` for the newest 100 of its `events`.

local payment, answer, totals, days, revoked = unpack(KEYS, 1, 5)
local state, changes = {}, {}
local verbs = {}

local function load()
  local found = redis.call('HGETALL', payment)
  for i = 1, #found, 2 do
    state[found[i]] = found[i + 1]
  end
  return #found > 0
end

local function set(name, value)
  state[name] = value
  changes[#changes + 1] = name
  changes[#changes + 1] = value
end

-- Totals are written before the payment, so that a total that can not be written leaves the payment as it was.
local function save()
  if #changes > 0 then
    redis.call('HSET', payment, unpack(changes))
  end
end

local function add(key, day, what, endpoint, count, msat)
  local name = what .. ' ' .. endpoint
  if redis.call('HINCRBY', key, name, count) == tonumber(count) then
    redis.call('SADD', days, day)
  end
  if msat ~= '0' then
    redis.call('HINCRBY', key, 'msat ' .. name, msat)
  end
end

local function note(now, day, what)
  add(totals, day, what, state.endpoint, 1, what == 'paid' and state.msat or '0')
  set('events', state.events + 1)
  set('event:' .. state.events % 100, now .. ' ' .. what)
end

-- Lets the payment live on until `moment`, where that is later than what was asked for before. The time that is added
-- is a difference of the askers' times: what time it is for Redis does not matter.
local function remember(moment)
  if tonumber(moment) > tonumber(state.forget_at) then
    local more = math.ceil((moment - state.forget_at) * 1000)
    redis.call('PEXPIRE', payment, redis.call('PTTL', payment) + more)
    set('forget_at', moment)
  end
end

-- How many of the holds still run at `now`, how many there are, and the one whose lease ends first.
local function count_holds(now)
  local running, all, first, first_end = 0, 0, nil, math.huge
  for name, value in pairs(state) do
    if name:sub(1, 5) == 'hold:' then
      local lease_until = tonumber(value:match('^%S+'))
      all = all + 1
      if lease_until > tonumber(now) then
        running = running + 1
      end
      if lease_until < first_end then
        first, first_end = name, lease_until
      end
    end
  end
  return running, all, first
end

function verbs.hold(now, day, hold_id, token_id, uses, request, endpoint, msat, lease_until, forget_at)
  if redis.call('SISMEMBER', revoked, token_id) == 1 then
    return {'revoked'}
  end
  local life
  if load() then
    remember(forget_at)
  else
    set('token_id', token_id)
    set('uses', uses)
    set('endpoint', endpoint)
    set('msat', msat)
    set('settled', 0)
    set('events', 0)
    set('forget_at', forget_at)
    if uses == '' then
      note(now, day, 'paid')
    end
    -- One clock that is ahead, the asker's or that of Redis, would have it forgotten early: the other counts.
    local clock = redis.call('TIME')
    life = math.ceil((forget_at - math.min(now, clock[1] + clock[2] / 1000000)) * 1000)
  end
  local outcome
  local confirmed = state.confirmed and 1 or 0
  if state.uses == '' then
    outcome = {'held', '', confirmed}
  else
    local unsettled = state.uses - state.settled
    local running, all, first = count_holds(now)
    if running < unsettled then
      if all >= unsettled then
        note(now, day, 'lapsed')
        redis.call('HDEL', payment, first)
      end
      set('hold:' .. hold_id, lease_until .. ' ' .. request)
      outcome = {'held', unsettled - running - 1, confirmed}
    elseif unsettled > 0 then
      outcome = {'busy'}
    else
      local kept = state.kept_for == request and tonumber(now) < tonumber(state.kept_until) and redis.call('GET', answer)
      if kept then
        note(now, day, 'replayed')
      end
      outcome = kept and {'kept', kept} or {'spent'}
    end
  end
  save()
  if life then
    redis.call('PEXPIRE', payment, math.max(life, 1000))
  end
  return outcome
end

function verbs.renew(hold_id, lease_until)
  local name = 'hold:' .. hold_id
  if not load() or not state[name] then
    return 0
  end
  set(name, lease_until .. state[name]:match(' .*'))
  remember(lease_until)
  save()
  return 1
end

function verbs.settle(now, day, hold_id, replay_until, kept)
  local name = 'hold:' .. hold_id
  if not load() or not state[name] then
    return 0
  end
  if tonumber(state.settled) == 0 then
    note(now, day, 'paid')
  end
  note(now, day, 'delivered')
  set('settled', state.settled + 1)
  if kept then
    redis.call('SET', answer, kept, 'PX', math.max(math.ceil((replay_until - now) * 1000), 1))
    set('kept_for', state[name]:match(' (.*)'))
    set('kept_until', replay_until)
  end
  redis.call('HDEL', payment, name)
  save()
  return 1
end

function verbs.release(now, day, hold_id)
  local name = 'hold:' .. hold_id
  if load() and state[name] then
    note(now, day, 'released')
    redis.call('HDEL', payment, name)
    save()
  end
end

function verbs.confirm(now, day)
  if load() and not state.confirmed then
    note(now, day, 'confirmed')
    set('confirmed', 1)
    save()
  end
end

-- KEYS are the days that have totals, and then the totals of a day for each five arguments.
function verbs.count()
  days = KEYS[1]
  for i = 2, #ARGV, 5 do
    add(KEYS[(i + 8) / 5], unpack(ARGV, i, i + 4))
  end
end

return verbs[ARGV[1]](unpack(ARGV, 2, 11))
