-- Puts a record in the place of the one that was seen. KEYS: where. ARGV: the version that was seen,
-- or nothing; what to put there, or nothing; for how many milliseconds.
-- Answers nil when it is done, and otherwise what is there. What is already there by this very call
-- is written again: replicas that are waited for then have it.
local there = redis.call('GET', KEYS[1])
local version = there and string.sub(there, 1, 8) or ''
local own = ARGV[2] ~= '' and version == string.sub(ARGV[2], 1, 8)
if version ~= ARGV[1] and not own then return there or '' end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return false
