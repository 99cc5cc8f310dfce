-- The usual semaphore in Redis: a sorted set of stream ids for each user, scored by the end of
-- the lease. KEYS[1] the user's set; ARGV: operation, stream id, lease in ms, limit.
-- Answers how many streams are live, or -1: denied, or not there.
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local operation, id, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
if operation == 'start' then
  local active = redis.call('ZCARD', KEYS[1])
  if active >= tonumber(ARGV[4]) then return -1 end
  redis.call('ZADD', KEYS[1], now + lease, id)
  redis.call('PEXPIRE', KEYS[1], lease)
  return active + 1
elseif operation == 'heartbeat' then
  if not redis.call('ZSCORE', KEYS[1], id) then return -1 end
  redis.call('ZADD', KEYS[1], now + lease, id)
  redis.call('PEXPIRE', KEYS[1], lease)
  return redis.call('ZCARD', KEYS[1])
end
return redis.call('ZREM', KEYS[1], id)
