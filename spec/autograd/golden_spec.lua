-- golden_spec.lua: every op against PyTorch's numbers: results and every gradient, in float64 and float32, on
-- contiguous, transposed and sliced inputs. An op without numbers fails.
local sq = require "seqrt"
local support = require "spec.lib.support"
local api = require "seqrt.api"

local golden = require "spec.golden.cases"

-- What has no numbers, and why.
local without = {
  dropout = "draws at random: its own spec",
}

local rtol = {float64 = 1e-10, float32 = 5.2e-6}
local atol = {float64 = 1e-12, float32 = 4e-6}

-- nil when got is near want, else what is wrong.
local function differs(got, want, dtype, tol)
  local shape = {}
  for i = 1, got:dim() do shape[i] = got:size(i) end
  if table.concat(shape, ",") ~= table.concat(want.shape, ",") then
    return ("shape (%s), not (%s)"):format(table.concat(shape, ","), table.concat(want.shape, ","))
  end
  local expected = want.wanted == "float64" and dtype or want.wanted
  if got.dtype ~= expected then return ("dtype %s, not %s"):format(got.dtype, expected) end
  local r = (rtol[expected] or 0) * tol
  local a = (atol[expected] or 0) * tol
  local flat = got:numel() == 0 and {} or got:reshape(-1):tolist()
  for i, w in ipairs(want.data) do
    local g = flat[i]
    if type(g) == "boolean" or type(w) == "boolean" then g, w = tostring(g), tostring(w) end
    local ok
    if type(w) == "string" then
      ok = g == w
    else
      ok = g == w or (g ~= g and w ~= w) or math.abs(g - w) <= a + r * math.abs(w)
    end
    if not ok then return ("element %d is %s, not %s"):format(i, g, w) end
  end
end

local ops, layouts = golden.ops, golden.layouts
local read, make = golden.read, golden.make

-- Runs a case, with a backward that is recorded or not; raises what is wrong with it.
local function run(case, dtype, layout, create_graph)
  local inputs, args = golden.draw(case, dtype, layout)
  local out = table.pack(sq[case.op](table.unpack(args, 1, args.n)))
  for i, want in ipairs(case.out) do
    local result = out[i]
    if type(result) ~= "userdata" then result = sq.tensor(result) end
    local wrong = differs(result, read(want, dtype), dtype, case.tol)
    if wrong then error(("result %d: %s"):format(i, wrong), 0) end
  end
  local left = 0
  for i = 1, #case.out do left = left + (case.dy[i] and 1 or 0) end
  for i = 1, #case.out do
    if case.dy[i] then
      left = left - 1
      out[i]:backward {gradient = make(read(case.dy[i], dtype)), retain_graph = left > 0, create_graph = create_graph}
    end
  end
  for i, want in ipairs(case.grad) do
    local grad = want and (inputs[i].grad or sq.zeros_like(inputs[i]))
    local wrong = want and differs(grad, read(want, dtype), dtype, case.tol)
    if wrong then error(("gradient of input %d: %s"):format(i, wrong), 0) end
  end
end

describe("PyTorch's numbers", function()
  local names = {}
  for name in pairs(ops) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    it("are those of " .. name, function()
      for i, case in ipairs(ops[name]) do
        for _, dtype in ipairs {"float64", "float32"} do
          for layout in pairs(layouts) do
            local skip = case.only64 and dtype == "float32" or name == "view" and layout ~= "contiguous"
            local ok, text = true, nil
            for _, recorded in ipairs {false, true} do
              if not skip then ok, text = pcall(run, case, dtype, layout, recorded) end
              assert(ok, ("%s, case %d, %s %s%s: %s"):format(name, i, dtype, layout,
                recorded and ", create_graph" or "", text))
            end
          end
        end
      end
    end)
  end

  it("are there for every op", function()
    local missing = {}
    for _, op in ipairs(api.list()) do
      if op.kind == "op" and not ops[op.name] and not without[op.name] then missing[#missing + 1] = op.name end
    end
    support.assert_numbers(missing, "ops")
  end)

  it("are read so that a difference of one part in a thousand shows", function()
    local case = ops.tanh[4]
    local data = {}
    for i, v in ipairs(case.out[1][2]) do data[i] = v * 1.001 end
    local wrong = setmetatable({out = {{case.out[1][1], data}}}, {__index = case})
    assert.is_false(pcall(run, wrong, "float64", "contiguous"))
    assert.is_true(pcall(run, case, "float64", "contiguous"))
  end)
end)
