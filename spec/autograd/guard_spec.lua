-- guard_spec.lua: no_grad and its kin: guards that end in any order, in coroutines that go on, fail or are abandoned, and
-- guards that nobody closes, never leave recording off.
local sq = require "seqrt"
local support = require "spec.lib.support"

local function enabled() return sq.is_grad_enabled() end

-- Whether an op is recorded, which is what the switch is for.
local function recorded() return (sq.ones {1, requires_grad = true} * 2).requires_grad end

local function both(expected)
  assert.equal(expected, recorded())
  assert.equal(expected, enabled())
end

describe("guards", function()
  before_each(function() both(true) end)
  after_each(function() both(true) end)

  it("end in any order", function()
    for _, order in ipairs {{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}} do
      local guards = {sq.no_grad(), sq.no_grad(), sq.no_grad()}
      for _, i in ipairs(order) do
        both(false)
        guards[i]:close()
      end
      both(true)
    end
  end)

  it("of both kinds: the newest that is open decides", function()
    local off, on = sq.no_grad(), sq.enable_grad()
    both(true)
    off:close()
    both(true)
    on:close()
    both(true)
    off, on = sq.no_grad(), sq.enable_grad()
    local inner = sq.no_grad()
    both(false)
    on:close()
    both(false)
    inner:close()
    both(false)
    off:close()
  end)

  it("may be closed twice", function()
    local a, b = sq.no_grad(), sq.no_grad()
    a:close()
    a:close()
    both(false)
    b:close()
  end)

  it("leave what was set before them", function()
    sq.set_grad_enabled(false)
    local on = sq.enable_grad()
    both(true)
    sq.set_grad_enabled(false) -- for the rest of the guard
    both(false)
    sq.set_grad_enabled(true)
    on:close()
    both(false)
    sq.set_grad_enabled(true)
  end)

  it("hold in what their coroutine resumes, not where it yields to", function()
    local outer = coroutine.wrap(function()
      local _ <close> = sq.no_grad()
      both(false)
      coroutine.wrap(function() both(false) end)()
      coroutine.yield()
      both(false)
    end)
    outer()
    both(true)
    outer()
    both(true)
    local seen = coroutine.wrap(function()
      both(false)
      local _ <close> = sq.enable_grad()
      both(true)
      coroutine.yield()
      both(true)
    end)
    do
      local _ <close> = sq.no_grad()
      seen()
      both(false)
      seen()
      both(false)
    end
  end)

  it("of a coroutine decide in it, whatever was opened since", function()
    local inside = coroutine.wrap(function()
      local _ <close> = sq.no_grad()
      coroutine.yield()
      both(false)
      coroutine.yield()
    end)
    inside()
    do
      local _ <close> = sq.enable_grad()
      inside()
      both(true)
    end
    both(true)
  end)

  it("of a coroutine that failed, ended or is abandoned hold nothing, without a collection", function()
    collectgarbage "stop"
    local kept = {} -- luacheck: ignore
    local failed = coroutine.create(function()
      kept[1] = sq.no_grad()
      local _ <close> = sq.no_grad()
      error "stop"
    end)
    assert.is_false(coroutine.resume(failed))
    both(true)
    coroutine.wrap(function() kept[2] = sq.no_grad() end)()
    both(true)
    for i = 1, 20 do
      local abandoned = coroutine.wrap(function()
        local _ <close> = sq.no_grad()
        both(false)
        coroutine.yield()
      end)
      abandoned()
      kept[2 + i] = i % 2 == 0 and abandoned or nil
      both(true)
    end
    collectgarbage "restart"
    collectgarbage()
    both(true)
    kept = nil
    collectgarbage()
    collectgarbage()
    both(true)
  end)

  it("survive collections in the middle of many coroutines", function()
    local alive = {}
    for i = 1, 200 do
      local co = coroutine.wrap(function()
        local _ <close> = i % 3 == 0 and sq.enable_grad() or sq.no_grad()
        while true do
          both(i % 3 == 0)
          coroutine.yield()
        end
      end)
      co()
      if i % 5 == 0 then alive[#alive + 1] = co end
      if i % 17 == 0 then collectgarbage() end
      if i % 29 == 0 then for _, one in ipairs(alive) do one() end end
      both(true)
    end
  end)

  it("end with an error in the function they hold for", function()
    local guard = sq.no_grad()
    pcall(sq.no_grad, function()
      guard:close()
      error "stop"
    end)
    both(true)
  end)
end)

describe("a guard that nobody closes", function()
  it("holds until it is collected, which says where it was opened", function()
    local script = [[
      local sq = require "seqrt"
      do sq.no_grad() end
      print(sq.is_grad_enabled())
      collectgarbage()
      print(sq.is_grad_enabled())]]
    local path = support.write(support.tmpdir() .. "/forgotten.lua", script)
    local out, err, status = support.run {path}
    assert.equal("false\ntrue\n", out)
    assert.truthy(err:find("forgotten.lua:2: warning: this guard held until it was collected", 1, true), err)
    assert.equal(0, status)
  end)

  it("to the end of the program is nobody's fault", function()
    local out, err, status = support.run {"-e", [[
      local sq = require "seqrt"
      GUARD = sq.no_grad()
      print(sq.is_grad_enabled())]]}
    assert.equal("false\n", out)
    assert.equal("", err)
    assert.equal(0, status)
  end)
end)

describe("detect_anomaly and profile", function()
  it("end in any order too", function()
    local a, b = sq.detect_anomaly(), sq.detect_anomaly()
    a:close()
    assert.is_true(sq.is_anomaly_enabled())
    b:close()
    assert.is_false(sq.is_anomaly_enabled())
  end)
end)
