-- What wrk sends, to tide-gateway and to its peers alike.
--
--   wrk … -s load.lua URL -- push CLIENTS ROWS SALT
--   wrk … -s load.lua URL -- get CLIENTS
--
-- CLIENTS has a line "TOKEN USER PATH" for each, requests take them in turn.  A push has ROWS new rows: their ids follow from
-- SALT, which no other run has, from the thread and from a count.  Prints
-- "result REQUESTS SECONDS BAD P50 P99" (milliseconds): BAD are replies other
-- than 200, and requests without one.  There is no response(): with one, wrk
-- would spend more on a reply than the servers do.

local threads = 0

function setup(thread)
	thread:set("number", threads)
	threads = threads + 1
end

local clients, what, rows, salt, count = {}, nil, nil, nil, 0

function init(arguments)
	what = arguments[1]
	for line in io.lines(arguments[2]) do
		local token, user, path = line:match("^(%S+) (%S+) (%S+)$")

		clients[#clients + 1] = {token = "Bearer " .. token, user = user, path = path}
	end
	rows, salt = tonumber(arguments[3]), tonumber(arguments[4])
	wrk.headers["Content-Type"] = "application/json"
end

local function body(user)
	local list = {}
	local now = os.date("!%Y-%m-%dT%H:%M:%S")

	for i = 1, rows do
		count = count + 1
		list[i] = string.format('{"id":"%08x-%04x-4000-8000-%012x","user_id":"%s","title":"Bench Press %d",'
			.. '"notes":"five by five, two minutes of rest","position":%d,"weight_kg":%d.5,"done":%s,'
			.. '"last_modified_at":"%s.%03dZ"}', salt, number, count, user, i, i, i % 100,
			i % 2 == 0 and "true" or "false", now, count % 1000)
	end
	return '{"clientId":"phone","changes":{"bench_tracked":[' .. table.concat(list, ",") .. ']}}'
end

local turn = 0

function request()
	turn = turn % #clients + 1
	wrk.headers["Authorization"] = clients[turn].token
	if what == "push" then
		return wrk.format("POST", "/api/v1/sync/push", nil, body(clients[turn].user))
	end
	return wrk.format("GET", clients[turn].path)
end

function done(summary, latency)
	local errors = summary.errors

	io.write(string.format("result %d %.6f %d %.3f %.3f\n", summary.requests, summary.duration / 1e6,
		errors.status + errors.connect + errors.read + errors.write + errors.timeout,
		latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
