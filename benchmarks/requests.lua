-- wrk: GET requests that rotate over many devices. Arguments: a file of "PATH TOKEN" lines (without TOKEN: no Authorization),
-- and, for a steady load instead of all that goes, a connection's pause between two requests in ms, a random one around it.
local requests, at = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local path, token = line:match("(%S+) ?(%S*)")
    local headers = {Host = "localhost"}
    if token ~= "" then headers["Authorization"] = "Bearer " .. token end
    requests[#requests + 1] = wrk.format("GET", path, headers)
  end
  math.randomseed(#requests + os.time())
  at = math.random(#requests)
  local pause = tonumber(args[2] or 0)
  if pause > 0 then
    function delay() return math.random(0, 2 * pause) end
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
