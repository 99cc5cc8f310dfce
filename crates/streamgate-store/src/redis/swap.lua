-- Puts a record in the place of the one that was seen. KEYS: where. ARGV: the version that was seen,
-- or nothing; what to put there, or nothing; for how many milliseconds; its version; and what to tell
-- all nodes, or nothing. That may be forbidden: the record counts.
-- Answers nil when it is done, and otherwise what is there. What is already there by this very call
-- is written again: replicas that are waited for then have it.
-- Each string that Lua sees costs, so the whole of what is there is only read to show it.
local version = redis.call('GETRANGE', KEYS[1], 0, 7)
local own = ARGV[2] ~= '' and version == ARGV[4]
if version ~= ARGV[1] and not own then return redis.call('GET', KEYS[1]) or '' end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
if ARGV[5] ~= '' then redis.pcall('PUBLISH', 'streamgate:ended', ARGV[5]) end
return false
