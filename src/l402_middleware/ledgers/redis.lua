-- What the Redis ledger does in one step. Redis runs a script to its end before it looks at anything else.
--
-- KEYS: the payment, its holds, its kept answer, the totals of the day, the days that have totals, the revoked
-- tokens. ARGV: the verb and its arguments. Times are unix seconds by the clocks of those who ask.
--
-- A payment is a hash: the terms of its first claim, what was settled and confirmed, `request:<hold>` for each
-- hold, and a ring of its newest 100 events. Its holds are a sorted set, scored by the end of their lease.

local payment, holds, answer, totals, days, revoked = unpack(KEYS, 1, 6)
local verbs = {}

local function add(totals_key, day, what, endpoint, count, msat)
  redis.call('SADD', days, day)
  redis.call('HINCRBY', totals_key, what .. ' ' .. endpoint, count)
  if msat ~= '0' then
    redis.call('HINCRBY', totals_key, 'msat ' .. what .. ' ' .. endpoint, msat)
  end
end

local function note(now, day, what)
  local endpoint, msat = unpack(redis.call('HMGET', payment, 'endpoint', 'msat'))
  local number = redis.call('HINCRBY', payment, 'events', 1)
  redis.call('HSET', payment, 'event:' .. number % 100, now .. ' ' .. what)
  add(totals, day, what, endpoint, 1, what == 'paid' and msat or '0')
end

-- Lets the payment live on until `moment`, where that is later than what was asked for before. The time that is added
-- is a difference of the askers' times: what time it is for Redis does not matter.
local function remember(moment)
  local known = redis.call('HGET', payment, 'forget_at')
  if tonumber(moment) > tonumber(known) then
    local life = redis.call('PTTL', payment) + math.ceil((moment - known) * 1000)
    redis.call('HSET', payment, 'forget_at', moment)
    redis.call('PEXPIRE', payment, life)
    redis.call('PEXPIRE', holds, life)
  end
end

local function drop(hold_id)
  redis.call('ZREM', holds, hold_id)
  redis.call('HDEL', payment, 'request:' .. hold_id)
end

local function is_held(hold_id)
  return redis.call('EXISTS', payment) == 1 and redis.call('ZSCORE', holds, hold_id)
end

function verbs.hold(now, day, hold_id, token_id, uses, request, endpoint, msat, lease_until, forget_at)
  if redis.call('SISMEMBER', revoked, token_id) == 1 then
    return {'revoked'}
  end
  if redis.call('EXISTS', payment) == 1 then
    remember(forget_at)
  else
    redis.call('HSET', payment, 'token_id', token_id, 'uses', uses, 'endpoint', endpoint, 'msat', msat,
      'settled', 0, 'forget_at', forget_at)
    -- One clock that is ahead, the asker's or that of Redis, would have it forgotten early: the other counts.
    local clock = redis.call('TIME')
    local life = forget_at - math.min(now, clock[1] + clock[2] / 1000000)
    redis.call('PEXPIRE', payment, math.max(1000, math.ceil(life * 1000)))
    if uses == '' then
      note(now, day, 'paid')
    end
  end
  local known = redis.call('HMGET', payment, 'uses', 'settled', 'confirmed', 'kept_for', 'kept_until')
  local confirmed = known[3] and 1 or 0
  if known[1] == '' then
    return {'held', '', confirmed}
  end
  local unsettled = known[1] - known[2]
  local running = redis.call('ZCOUNT', holds, '(' .. now, '+inf')
  if running < unsettled then
    if redis.call('ZCARD', holds) >= unsettled then
      drop(redis.call('ZRANGE', holds, 0, 0)[1])
      note(now, day, 'lapsed')
    end
    redis.call('ZADD', holds, lease_until, hold_id)
    redis.call('PEXPIRE', holds, redis.call('PTTL', payment))
    redis.call('HSET', payment, 'request:' .. hold_id, request)
    return {'held', unsettled - running - 1, confirmed}
  end
  if unsettled > 0 then
    return {'busy'}
  end
  if known[4] == request and tonumber(now) < tonumber(known[5]) then
    local kept = redis.call('GET', answer)
    if kept then
      note(now, day, 'replayed')
      return {'kept', kept}
    end
  end
  return {'spent'}
end

function verbs.renew(hold_id, lease_until)
  if not is_held(hold_id) then
    return 0
  end
  redis.call('ZADD', holds, lease_until, hold_id)
  remember(lease_until)
  return 1
end

function verbs.settle(now, day, hold_id, replay_until, kept)
  if not is_held(hold_id) then
    return 0
  end
  if kept then
    local request = redis.call('HGET', payment, 'request:' .. hold_id)
    redis.call('SET', answer, kept, 'PX', math.max(1, math.ceil((replay_until - now) * 1000)))
    redis.call('HSET', payment, 'kept_for', request, 'kept_until', replay_until)
  end
  drop(hold_id)
  if redis.call('HINCRBY', payment, 'settled', 1) == 1 then
    note(now, day, 'paid')
  end
  note(now, day, 'delivered')
  return 1
end

function verbs.release(now, day, hold_id)
  if is_held(hold_id) then
    drop(hold_id)
    note(now, day, 'released')
  end
end

function verbs.confirm(now, day)
  if redis.call('EXISTS', payment) == 1 and redis.call('HSETNX', payment, 'confirmed', 1) == 1 then
    note(now, day, 'confirmed')
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
