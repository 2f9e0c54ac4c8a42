-- For wrk: how many answers came over resumed connections, by the server's own word in X-Reused: "r" is
-- nginx's, "1" HAProxy's. The last line of the output: answers, resumed, errors.
local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function init()
    answers, resumed = 0, 0
end

function response(_, headers)
    local reused = headers["X-Reused"] or headers["x-reused"]
    answers = answers + 1
    if reused == "r" or reused == "1" then
        resumed = resumed + 1
    end
end

function done(summary)
    local all, good = 0, 0
    for _, thread in ipairs(threads) do
        all = all + thread:get("answers")
        good = good + thread:get("resumed")
    end
    local errors = summary.errors
    print(all, good, errors.connect + errors.read + errors.write + errors.status + errors.timeout)
end
