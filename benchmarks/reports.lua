-- wrk: one report per request, each device's seq counting up from 1, moves and notes as a real update has them.
-- Arguments: a file of "TOKEN ATTEMPT" lines, how many requests earlier rounds have issued, and, if others are meant, the events
-- with a comma between; the last is repeated without end.
local events = {
  "downloading", "downloading", "downloading", "downloaded", "installing", "installing", "installing", "installed",
  "activating",
}
local tokens, attempts, threads = {}, {}, {}
issued = 0

function setup(thread) threads[#threads + 1] = thread end

function init(args)
  for line in io.lines(args[1]) do
    local token, attempt = line:match("(%S+) (%S+)")
    tokens[#tokens + 1], attempts[#attempts + 1] = token, attempt
  end
  issued = tonumber(args[2])
  if args[3] then
    events = {}
    for event in args[3]:gmatch("[^,]+") do events[#events + 1] = event end
  end
end

function request()
  local device, seq = issued % #tokens + 1, math.floor(issued / #tokens) + 1
  issued = issued + 1
  local body = '{"reports":[{"attempt":' .. attempts[device] .. ',"seq":' .. seq .. ',"event":"' ..
    (events[seq] or events[#events]) .. '","progress":' .. seq % 100 .. '}]}'
  return "POST /device/v1/reports HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " .. tokens[device] ..
    "\r\nContent-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

-- wrk itself takes the first request of a run to look at it and does not send it
function done() print("issued " .. threads[1]:get("issued")) end
