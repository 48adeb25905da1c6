-- log_spec.lua: metrics.jsonl and CSV to the byte, NaN, resuming, folders that cannot be written.
local sq = require "seqrt"
local support = require "spec.lib.support"

local function lines(path)
  local out = {}
  for line in support.read(path):gmatch "[^\n]*\n" do out[#out + 1] = (line:gsub('"time":[%d.]+', '"time":0')) end
  return out
end

describe("sq.Log", function()
  it("writes one object per line", function()
    local dir = support.tmpdir() .. "/deep/er"
    local log = sq.Log(dir)
    log:write(1, {loss = 0.5, acc = 1, name = 'a "b"\n\1'})
    log:write {step = 2, loss = 1 / 3, done = true}
    log(3.0, {big = 1e300, tiny = 5e-324})
    assert.same({'{"step":1,"time":0,"acc":1,"loss":0.5,"name":"a \\"b\\"\\n\\u0001"}\n',
      '{"step":2,"time":0,"done":true,"loss":0.33333333333333331}\n',
      '{"step":3,"time":0,"big":1e+300,"tiny":4.94065645841247e-324}\n'}, lines(dir .. "/metrics.jsonl"))
    local time = tonumber(support.read(dir .. "/metrics.jsonl"):match '"time":([%d.]+)')
    assert.is_true(math.abs(time - os.time()) < 60)
    assert.is_false(sq.fs.exists(dir .. "/metrics.csv"))
  end)

  it("writes NaN and Inf as null and says so", function()
    local dir = support.tmpdir()
    local log = sq.Log(dir, {csv = true})
    log:write(1, {a = 0 / 0, b = math.huge, c = -math.huge})
    assert.same({'{"step":1,"time":0,"a":null,"a_nan":true,"b":null,"b_inf":true,"c":null,"c_neg_inf":true}\n'},
      lines(dir .. "/metrics.jsonl"))
    assert.truthy(support.read(dir .. "/metrics.csv"):find "\n1,[%d.]+,nan,inf,%-inf\n$")
  end)

  it("keeps the CSV's header and rewrites it for a new column", function()
    local dir = support.tmpdir()
    local log = sq.Log(dir, {csv = true})
    log:write(1, {loss = 0.5, note = "a,\"b\"\nc"})
    log:write(2, {loss = 0.25})
    log:write(3, {loss = 0.125, acc = 0.75})
    local text = support.read(dir .. "/metrics.csv"):gsub("\n(%d),[%d.]+,", "\n%1,T,")
    assert.equal('step,time,loss,note,acc\n1,T,0.5,"a,""b"" c",\n2,T,0.25,,\n3,T,0.125,,0.75\n', text)
  end)

  it("goes on from a state, and cuts off what came after", function()
    local dir = support.tmpdir()
    local log = sq.Log(dir, {csv = true})
    log:write(1, {loss = 1})
    log:write(2, {loss = 2})
    local state = log:state_dict()
    log:write(3, {loss = 3, extra = 1})
    local again = sq.Log(dir, {csv = true})
    assert.equal(3, #lines(dir .. "/metrics.jsonl")) -- opening alone cuts nothing
    again:load_state_dict(state)
    again:write(3, {loss = 30})
    assert.same({'{"step":1,"time":0,"loss":1}\n', '{"step":2,"time":0,"loss":2}\n', '{"step":3,"time":0,"loss":30}\n'},
      lines(dir .. "/metrics.jsonl"))
    local text = support.read(dir .. "/metrics.csv"):gsub("\n(%d),[%d.]+,", "\n%1,T,")
    assert.equal("step,time,loss,extra\n1,T,1,\n2,T,2,\n3,T,30,\n", text)
  end)

  it("starts anew without a state", function()
    local dir = support.tmpdir()
    sq.Log(dir):write(1, {loss = 1})
    sq.Log(dir):write(1, {loss = 2})
    assert.same({'{"step":1,"time":0,"loss":2}\n'}, lines(dir .. "/metrics.jsonl"))
  end)

  it("says what is wrong", function()
    local dir = support.tmpdir()
    local log = sq.Log(dir)
    local function raises(text, fn, ...)
      local ok, message = pcall(fn, ...)
      assert.is_false(ok)
      assert.truthy(message:find(text, 1, true), message)
    end
    raises("[Log] step is 1.5: it must be an integer", log.write, log, 1.5, {})
    raises("[Log] step is nil: it must be an integer", log.write, log, {loss = 1})
    raises("[Log] 'loss' is a table: only numbers, strings, booleans and tensors", log.write, log, 1, {loss = {}})
    raises("[Log] dir: expected a string, got nil", sq.Log, nil)
    raises("[Log] dir must be the name of a folder", sq.Log, "")
    raises("[Log] there is no option 'tsv' (did you mean 'csv'?)", sq.Log, dir, {tsv = true})
    raises("this is no state of a log", log.load_state_dict, log, {})
    raises("has 0 bytes, fewer than the 10 of the checkpoint", function()
      support.write(dir .. "/metrics.jsonl", "")
      log:load_state_dict {bytes = 10, rows = 1, columns = ""}
    end)
    assert.is_false(sq.fs.exists(dir .. "/x"))
    support.write(dir .. "/x", "a file")
    raises("[Log] ", sq.Log, dir .. "/x")
  end)
end)
