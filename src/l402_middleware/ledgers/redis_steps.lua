-- The steps of the Redis ledger, each of which is a verb, for the payments of `redis_payment.lua`.

-- The payment of a claim, remembered for as long as that asks for.
local function shown(key, now, day, token_id, bought, endpoint, msat, forget_at, scheme, backend)
  local payment = load(key)
  if payment then
    remember(payment, forget_at)
    adopt(payment, now, day)
    return payment
  end
  payment = {
    key = key,
    state = {
      token_id = token_id, uses = bought, endpoint = endpoint, msat = msat, settled = 0, events = 0,
      forget_at = forget_at, shown_at = now,
    },
    changes = {
      'token_id', token_id, 'uses', bought, 'endpoint', endpoint, 'msat', msat, 'settled', 0, 'events', 0,
      'forget_at', forget_at, 'shown_at', now,
    },
    gone = {},
  }
  -- What is not said is what most payments have: as little as possible is stored for each.
  if scheme ~= 'l402' then
    set(payment, 'scheme', scheme)
  end
  if backend ~= '' then
    set(payment, 'backend', backend)
  end
  if msat ~= '0' then
    note(payment, now, day, 'paid')
  end
  -- One clock that is ahead, the asker's or that of Redis, would have it forgotten early: the other counts.
  local clock = redis.call('TIME')
  payment.life = math.ceil((forget_at - math.min(now, clock[1] + clock[2] / 1000000)) * 1000)
  return payment
end

local function again(payment, now, day, request)
  local state, kept = payment.state, nil
  if tonumber(now) < tonumber(state['kept:' .. request] or 0) then
    kept = redis.call('HGET', answers, request)
  elseif state.kept_for == request and tonumber(now) < tonumber(state.kept_until) then
    kept = redis.call('GET', old_answer)
  end
  if kept then
    note(payment, now, day, 'replayed')
    return {'kept', kept}
  end
end

local function runs(payment, now, request)
  for name, value in pairs(payment.state) do
    if name:sub(1, 5) == 'hold:' then
      local lease_until, held_for = value:match('^(%S+) (.*)$')
      if held_for == request and tonumber(lease_until) > tonumber(now) then
        return true
      end
    end
  end
  return false
end

local function decide(payment, now, day, hold_id, request, lease_until, most, least, once)
  local confirmed = payment.state.confirmed and 1 or 0
  if payment.state.uses == '' then
    return payment.state.closed_with and {'spent'} or {'held', '', confirmed, 0}
  end
  if once == '1' then
    local outcome = runs(payment, now, request) and {'busy'} or again(payment, now, day, request)
    if outcome then
      return outcome
    end
  end
  local units, left = grant(payment, now, day, most, least)
  if units then
    drop_hold(payment, hold_id)
    set(payment, 'hold:' .. hold_id, lease_until .. ' ' .. request)
    if units ~= 1 then
      set(payment, 'units:' .. hold_id, units)
    end
    return {'held', left, confirmed, units}
  end
  if unsettled(payment) >= tonumber(least) then
    return {'busy'}
  end
  return again(payment, now, day, request) or {'spent'}
end

function verbs.hold(
  now, day, token_id, bought, endpoint, msat, forget_at, scheme, backend,
  hold_id, request, lease_until, most, least, once
)
  if redis.call('SISMEMBER', revoked, token_id) == 1 then
    return {'revoked'}
  end
  local payment = shown(payment_key, now, day, token_id, bought, endpoint, msat, forget_at, scheme, backend)
  local outcome = decide(payment, now, day, hold_id, request, lease_until, most, least, once)
  save(payment)
  return outcome
end

local function renewed(hold_id, lease_until)
  local payment = load(payment_key)
  local hold = payment and payment.state['hold:' .. hold_id]
  if hold then
    set(payment, 'hold:' .. hold_id, lease_until .. hold:match(' .*'))
    remember(payment, lease_until)
    return payment
  end
end

function verbs.renew(hold_id, lease_until)
  local payment = renewed(hold_id, lease_until)
  if payment then
    save(payment)
  end
  return payment and 1 or 0
end

function verbs.extend(now, day, hold_id, more, least, lease_until)
  local payment = renewed(hold_id, lease_until)
  if not payment then
    return 0
  end
  local units = grant(payment, now, day, more, least, hold_id)
  if units then
    set(payment, 'units:' .. hold_id, (payment.state['units:' .. hold_id] or 1) + units)
  end
  save(payment)
  return units or 0
end

local function keep(payment, now, request, replay_until, answer)
  for name, ends in pairs(payment.state) do
    if name:sub(1, 5) == 'kept:' and tonumber(ends) <= tonumber(now) then
      redis.call('HDEL', answers, name:sub(6))
      drop(payment, name)
    end
  end
  redis.call('HSET', answers, request, answer)
  local life = math.max(math.ceil((replay_until - now) * 1000), 1)
  if life > redis.call('PTTL', answers) then
    redis.call('PEXPIRE', answers, life)
  end
  set(payment, 'kept:' .. request, replay_until)
end

function verbs.settle(now, day, hold_id, used, replay_until, answer)
  local payment = load(payment_key)
  local hold = payment and payment.state['hold:' .. hold_id]
  local units = hold and tonumber(payment.state['units:' .. hold_id] or 1)
  if not hold or tonumber(used) < 0 or tonumber(used) > units then
    return 0
  end
  adopt(payment, now, day, true)
  note(payment, now, day, 'delivered')
  set(payment, 'settled', payment.state.settled + used)
  if answer then
    keep(payment, now, hold:match(' (.*)'), replay_until, answer)
  end
  drop_hold(payment, hold_id)
  save(payment)
  return 1
end

function verbs.release(now, day, hold_id)
  local payment = load(payment_key)
  if payment and payment.state['hold:' .. hold_id] then
    note(payment, now, day, 'released')
    drop_hold(payment, hold_id)
    save(payment)
  end
end

-- What lapsed holds have is given away with the rest: they must not settle it too.
local function shut(payment, now, day, closed_with)
  for _, hold in ipairs((holds_of(payment, now))) do
    lapse(payment, now, day, hold)
  end
  set(payment, 'closed_with', closed_with)
  note(payment, now, day, 'closed')
end

function verbs.credit(now, day, token_id, bought, endpoint, msat, forget_at, scheme, backend)
  if redis.call('SISMEMBER', revoked, token_id) == 1 then
    return {'revoked'}
  end
  local payment, other = load(payment_key), load(other_key)
  if payment and other and other.state.credited_to == payment_key then
    return {'credited', free(payment, now)}
  end
  if not payment or payment.state.uses == '' or payment.state.closed_with then
    return {'closed'}
  end
  if redis.call('SISMEMBER', revoked, payment.state.token_id) == 1 then
    return {'revoked'}
  end
  other = shown(other_key, now, day, token_id, bought, endpoint, msat, forget_at, scheme, backend)
  local _, running = holds_of(other, now)
  local outcome
  if payment_key == other_key or other.state.uses == '' or other.state.closed_with
    or tonumber(other.state.settled) > 0 then
    outcome = {'spent'}
  elseif running > 0 then
    outcome = {'busy'}
  else
    shut(other, now, day, 0)
    set(other, 'credited_to', payment_key)
    set(payment, 'uses', payment.state.uses + other.state.uses)
    remember(payment, forget_at)
    note(payment, now, day, 'topped-up')
    save(payment)
    outcome = {'credited', free(payment, now)}
  end
  save(other)
  return outcome
end

function verbs.close(now, day)
  local payment = load(payment_key)
  if not payment then
    return false
  end
  if not payment.state.closed_with then
    adopt(payment, now, day, true)
    shut(payment, now, day, free(payment, now))
    save(payment)
  end
  return tonumber(payment.state.closed_with)
end

function verbs.confirm(now, day)
  local payment = load(payment_key)
  if payment and not payment.state.confirmed then
    note(payment, now, day, 'confirmed')
    set(payment, 'confirmed', 1)
    save(payment)
  end
end

-- KEYS are the days that have totals, and then the totals of a day for each five arguments.
function verbs.count()
  days = KEYS[1]
  for i = 1, #ARGV, 5 do
    add(KEYS[(i + 9) / 5], unpack(ARGV, i, i + 4))
  end
end
