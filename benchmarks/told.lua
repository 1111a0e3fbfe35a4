-- wrk: every device tells its attributes, one request each; round again when all have. Arguments: a file of "TOKEN VERSION" lines,
-- and how many requests earlier rounds have issued.
local tokens, versions, threads = {}, {}, {}
issued = 0

function setup(thread) threads[#threads + 1] = thread end

function init(args)
  for line in io.lines(args[1]) do
    local token, version = line:match("(%S+) (%S+)")
    tokens[#tokens + 1], versions[#versions + 1] = token, version
  end
  issued = tonumber(args[2])
end

function request()
  local device = issued % #tokens + 1
  issued = issued + 1
  local body = '{"version":"' .. versions[device] .. '"}'
  return "PUT /device/v1/attributes HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " .. tokens[device] ..
    "\r\nContent-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

-- wrk itself takes the first request of a run to look at it and does not send it
function done() print("issued " .. threads[1]:get("issued")) end
