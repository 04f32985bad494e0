-- SPDX-License-Identifier: MIT
--
-- post.lua - what wrk sends: the bodies of a file, one a line, in turn.
--
-- usage: wrk ... -s post.lua URL -- FILE [REQUESTS [KEY]]
--
-- With REQUESTS no more than so many are sent (by all threads of one), and wrk
-- then waits to be interrupted; KEY is the Idempotency-Key of all. The last line
-- that is printed is
--   RESULT requests microseconds refused broken p50 p99
-- where the latencies are in microseconds, "refused" are answers of 400 and
-- more, and "broken" are connections that failed.

local requests = {}
local turn = 0
local left

function init(arguments)
  local headers = {
    ["Content-Type"] = "application/json",
    ["Host"] = "127.0.0.1",
    ["Idempotency-Key"] = arguments[3],
  }
  for line in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("POST", wrk.path, headers, line)
  end
  left = tonumber(arguments[2])
  if left then
    -- Asked before each request; the answer is in milliseconds.
    delay = function()
      left = left - 1
      return left >= 0 and 0 or 1000000000
    end
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format("RESULT %d %d %d %d %d %d",
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
