-- wrk: GET requests of hawkBit's clients that rotate over many devices, and how many were answered with 304. Argument: a file of
-- lines with three fields behind tabs: PATH, AUTHORIZATION, ETAG; what is empty is not sent.
local requests, at, threads = {}, 0, {}
answered, same = 0, 0

function setup(thread) threads[#threads + 1] = thread end

function init(args)
  for line in io.lines(args[1]) do
    local path, authorization, etag = line:match("([^\t]+)\t([^\t]*)\t([^\t]*)")
    local headers = {Host = "localhost"}
    if authorization ~= "" then headers["Authorization"] = authorization end
    if etag ~= "" then headers["If-None-Match"] = etag end
    requests[#requests + 1] = wrk.format("GET", path, headers)
  end
  math.randomseed(#requests + os.time())
  at = math.random(#requests)
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function response(status)
  answered = answered + 1
  if status == 304 then same = same + 1 end
end

function done() print("answered " .. threads[1]:get("answered") .. ", same " .. threads[1]:get("same")) end
