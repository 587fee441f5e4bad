-- What the Redis ledger does in one step: a payment, and what can be done with it. `redis_steps.lua` has the steps
-- themselves. `redis_scripts.py` makes a script of each verb, with those of these functions that it needs. Redis runs it
-- to its end before it looks at anything else.
--
-- KEYS: the payment, its kept answers, the one that the first version kept, the totals of the day, the days that have
-- totals, the revoked tokens, and for a top-up the payment that it comes from.
-- ARGV: the arguments of the verb. Times are unix seconds by the clocks of those who ask.
--
-- A payment is a hash: the terms of its first claim, what was settled and confirmed, `hold:<id>` with the end of the
-- lease and the request for each hold, `units:<id>` where it has not one unit, `kept:<request>` with the end of each
-- answer's time, and `event:<n>` for the newest 100 of its `events`.
--
-- Workers of the first version may use the same payments. They know one answer for each payment, no hold of more than
-- one unit, and no payment that is closed; and they count it as paid when they settle first, unless it has settled units.
-- What was bought is still called `uses` for them.

local payment_key, answers, old_answer, totals, days, revoked, other_key = unpack(KEYS, 1, 7)

-- A payment in memory: what `save` has to write is in `changes`, and the names that it removes in `gone`. One that this
-- step makes has a `life`, in milliseconds.
local function load(key)
  local found = redis.call('HGETALL', key)
  if #found == 0 then
    return nil
  end
  local state = {}
  for i = 1, #found, 2 do
    state[found[i]] = found[i + 1]
  end
  return {key = key, state = state, changes = {}, gone = {}}
end

local function set(payment, name, value)
  payment.state[name] = value
  payment.changes[#payment.changes + 1] = name
  payment.changes[#payment.changes + 1] = value
  payment.gone[name] = nil
end

local function drop(payment, name)
  if payment.state[name] then
    payment.state[name] = nil
    payment.gone[name] = true
  end
end

-- Totals are written before the payment, so that a total that cannot be written leaves the payment as it was.
local function save(payment)
  if #payment.changes > 0 then
    redis.call('HSET', payment.key, unpack(payment.changes))
  end
  for name in pairs(payment.gone) do
    redis.call('HDEL', payment.key, name)
  end
  if payment.life then
    redis.call('PEXPIRE', payment.key, math.max(payment.life, 1000))
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

local function note(payment, now, day, what)
  local state = payment.state
  add(totals, day, what, state.endpoint, 1, what == 'paid' and state.msat or '0')
  set(payment, 'events', state.events + 1)
  set(payment, 'event:' .. state.events % 100, now .. ' ' .. what)
end

-- Lets the payment live on until `moment`, where that is later than what was asked for before. The time that is added
-- is a difference of the askers' times: what time it is for Redis does not matter.
local function remember(payment, moment)
  if tonumber(moment) > tonumber(payment.state.forget_at) then
    local more = math.ceil((moment - payment.state.forget_at) * 1000)
    redis.call('PEXPIRE', payment.key, redis.call('PTTL', payment.key) + more)
    set(payment, 'forget_at', moment)
  end
end

-- The holds whose lease has ended at `now`, the units of those that run, and of all. The one called `mine` runs. A
-- payment that this step makes has none, and most payments are asked about once.
local function holds_of(payment, now, mine)
  local ended, running, all = {}, 0, 0
  if payment.life then
    return ended, running, all
  end
  for name, value in pairs(payment.state) do
    if name:sub(1, 5) == 'hold:' then
      local id = name:sub(6)
      local units = tonumber(payment.state['units:' .. id] or 1)
      local lease_until = tonumber(value:match('^%S+'))
      all = all + units
      if id == mine or lease_until > tonumber(now) then
        running = running + units
      else
        ended[#ended + 1] = {id = id, units = units, lease_until = lease_until}
      end
    end
  end
  return ended, running, all
end

local function drop_hold(payment, id)
  drop(payment, 'hold:' .. id)
  drop(payment, 'units:' .. id)
end

local function lapse(payment, now, day, hold)
  note(payment, now, day, 'lapsed')
  drop_hold(payment, hold.id)
end

-- What could be held, were nothing held now: nothing of a pass, and nothing of what is closed.
local function unsettled(payment)
  local state = payment.state
  return (state.uses == '' or state.closed_with) and 0 or state.uses - state.settled
end

local function free(payment, now)
  local _, running = holds_of(payment, now)
  return unsettled(payment) - running
end

-- How many units can be held, and how many are left beside them, once the ended holds in the way have lapsed; nothing
-- where there are fewer than `least`.
local function grant(payment, now, day, most, least, mine)
  local ended, running, all = holds_of(payment, now, mine)
  local available = unsettled(payment) - running
  local units = math.min(tonumber(most), available)
  if units < tonumber(least) then
    return nil
  end
  local missing = units + all - unsettled(payment)
  table.sort(ended, function(one, other) return one.lease_until < other.lease_until end)
  for _, hold in ipairs(ended) do
    if missing <= 0 then
      break
    end
    lapse(payment, now, day, hold)
    missing = missing - hold.units
  end
  return units, available - units
end

-- Counts a payment that a worker of the first version made and may not have counted. As long as it may still do so,
-- because a hold runs and nothing was settled, it is left to that worker.
local function adopt(payment, now, day, settling)
  local state = payment.state
  if state.shown_at then
    return
  end
  local _, running = holds_of(payment, now)
  if tonumber(state.settled) == 0 and running > 0 and not settling then
    return
  end
  local counted = state.uses == '' or tonumber(state.settled) > 0 and tonumber(state.events) > 100
  local first = tonumber(now)
  for name, value in pairs(state) do
    if name:sub(1, 6) == 'event:' then
      first = math.min(first, tonumber(value:match('^%S+')))
      counted = counted or value:match(' paid$') ~= nil
    end
  end
  set(payment, 'shown_at', first)
  if not counted then
    note(payment, now, day, 'paid')
  end
end
