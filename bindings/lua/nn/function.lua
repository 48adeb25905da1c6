-- function.lua: sq.autograd.Function: classes whose forward and backward are both written in the script. What backward
-- needs of a call is in its ctx. Tensors are kept by the tape: the script's part of a call holds none, nor so the graph.
local sq = require "seqrt"
local api = require "seqrt.api"
local core = require "seqrt.recorder" -- from bindings/module/function.c
local fail = api.fail

-- --- ctx ----------------------------------------------------------------------------------------------------------------

local Context = {}
local method = api.class {name = "Context", methods = Context,
  doc = "What a call of an autograd.Function carries from forward to backward: its fields are the script's. Each backward "
    .. "gets one with the fields that forward left. A Tensor in a field is kept by the tape; one inside a table is not, "
    .. "and a table that comes to hold a result holds the graph until that went back.",
  example = "ctx:save_for_backward(x); ctx.scale = 2",
  fields = {{"needs_input_grad", "table", "For each argument of forward: whether its gradient is asked for."},
    {"saved_tensors", "table", "In backward: the list of what save_for_backward kept; ctx:saved() gives them one by one."}}}

-- What the tape is told of a call, which scripts do not see.
local function notes_of(ctx)
  local meta = getmetatable(ctx)
  return meta and meta.__notes or fail "[Function] this is no ctx of a call"
end

local function check_tensors(what, list)
  for i = 1, list.n do
    if list[i] ~= nil and not sq.is_tensor(list[i]) then
      fail("[%s] argument %d is a %s: only Tensors and nil; other values may be fields of ctx", what, i, type(list[i]))
    end
  end
  return list
end

method("save_for_backward", "(...: any? = nil)",
  "Keeps inputs, results or other Tensors for backward, which refuses those that were changed in place since.",
  function(self, ...) notes_of(self).saved = check_tensors("save_for_backward", table.pack(...)) end)

method("saved", "() -> any", "In backward: what save_for_backward kept, as several results.",
  "local x, y = ctx:saved()",
  function(self)
    local list = rawget(self, "saved_tensors") or fail "[saved] tensors are handed out in backward only"
    return table.unpack(list, 1, list.n)
  end)

method("mark_non_differentiable", "(...: any? = nil)", "Says that these results of forward have no gradient.",
  function(self, ...)
    for _, y in ipairs(check_tensors("mark_non_differentiable", table.pack(...))) do notes_of(self).constant[y] = true end
  end)

method("set_materialize_grads", "(value: bool)",
  "Whether backward gets zeros, as it does unless told otherwise, or nil for a result that no gradient reached.",
  function(self, value) notes_of(self).materialize = value end)

local function new_context(needs)
  return setmetatable({needs_input_grad = needs}, {__index = Context, __name = "Context",
    __notes = {saved = {n = 0}, constant = {}, materialize = true}})
end

-- Takes the Tensors out of ctx: their names and values, and the other fields.
local function take_fields(ctx)
  local names, tensors, plain = {}, {}, {}
  for name, value in pairs(ctx) do
    if sq.is_tensor(value) then
      names[#names + 1], tensors[#tensors + 1] = name, value
    else
      plain[name] = value
    end
  end
  for _, name in ipairs(names) do ctx[name] = nil end
  return names, tensors, plain
end

-- --- forward --------------------------------------------------------------------------------------------------------------

local function call_forward(class, ctx, args)
  local _ <close> = sq.no_grad()
  return table.pack(class.forward(ctx, table.unpack(args, 1, args.n)))
end

-- The Tensors of a list and where each stands.
local function tensors_of(list)
  local tensors, places = {}, {}
  for i = 1, list.n do
    if sq.is_tensor(list[i]) then
      tensors[#tensors + 1] = list[i]
      places[#tensors] = i
    end
  end
  return tensors, places
end

-- What was saved and then the fields, as one list; false for nil.
local function kept_of(saved, fields)
  local keep = {}
  for i = 1, saved.n do keep[i] = saved[i] or false end
  return table.move(fields, 1, #fields, saved.n + 1, keep)
end

local function flags(tensors, marked)
  local list = {}
  for k, y in ipairs(tensors) do list[k] = marked[y] or false end
  return list
end

local function record(class, ctx, inputs, places, count, results)
  local outs, out_places = tensors_of(results)
  if #outs > core.most then fail("[%s] forward gave %d Tensors: %d at most", class.name, #outs, core.most) end
  local notes, names, fields, plain = notes_of(ctx), take_fields(ctx)
  local job = {class = class, names = names, plain = plain, saved = notes.saved.n, places = places, count = count,
    out_places = out_places, results = results.n}
  local recorded = {core.record(class.name, inputs, outs, kept_of(notes.saved, fields), flags(outs, notes.constant),
    job.saved, notes.materialize, job)}
  notes.saved, notes.constant = {n = 0}, {}
  for k, place in ipairs(out_places) do results[place] = recorded[k] end
end

local function apply(class, ...)
  if not class.forward then fail("[%s] it has no forward", class.name) end
  local args, needs, any = table.pack(...), {}, false
  local inputs, places = tensors_of(args)
  for i = 1, args.n do needs[i] = false end
  for k, x in ipairs(inputs) do
    needs[places[k]] = x.requires_grad
    any = any or x.requires_grad
  end
  local ctx = new_context(needs)
  local results = call_forward(class, ctx, args)
  if any and sq.is_grad_enabled() then
    record(class, ctx, inputs, places, args.n, results)
  else
    for i = 1, results.n do
      if sq.is_tensor(results[i]) and results[i].requires_grad then results[i] = results[i]:detach() end
    end
  end
  return table.unpack(results, 1, results.n)
end

-- --- backward -------------------------------------------------------------------------------------------------------------

-- What backward gave is wrong: said with the line where it is written.
local function wrong(class, text, ...)
  local info = debug.getinfo(class.backward, "S")
  local place = format("%s:%d: [%s] backward gave ", info.short_src, info.linedefined, class.name)
  local reason = place .. format(text, ...)
  error(reason, 0)
end

local function plural(n, noun) return format("%d %s%s", n, noun, n == 1 and "" or "s") end

-- Gradients as backward gave them, one for each Tensor among the arguments; what stands for another argument is nil.
local function sorted(job, given)
  local dx, class, last = {}, job.class, job.places[#job.places]
  if given.n < last then
    wrong(class, "%s: forward had %s, and argument %d is a Tensor; give nil where there is none",
      plural(given.n, "gradient"), plural(job.count, "argument"), last)
  end
  for k, place in ipairs(job.places) do
    dx[k] = given[place] or false
    if dx[k] and not sq.is_tensor(dx[k]) then
      wrong(class, "a %s as gradient %d: a Tensor or nil", type(dx[k]), place)
    end
    given[place] = nil
  end
  for i = 1, given.n do
    if given[i] ~= nil and i > job.count then
      wrong(class, "%s: forward had %s", plural(given.n, "gradient"), plural(job.count, "argument"))
    elseif given[i] ~= nil then
      wrong(class, "a gradient for argument %d, which was no Tensor: give nil", i)
    end
  end
  return dx
end

-- A ctx as it was at the end of forward, with what was kept. Each backward has its own: in a recorded one the Tensors
-- lead to the node that holds the job, and must go with it.
local function context_of(job, keep, needed)
  local needs, saved = {}, {n = job.saved}
  for i = 1, job.count do needs[i] = false end
  for k, place in ipairs(job.places) do needs[place] = needed[k] end
  local ctx = new_context(needs)
  for name, value in pairs(job.plain) do
    if name ~= "needs_input_grad" then ctx[name] = value end
  end
  for i, name in ipairs(job.names) do ctx[name] = keep[job.saved + i] end
  table.move(keep, 1, job.saved, 1, saved)
  ctx.saved_tensors = saved
  return ctx
end

-- An error that is text says whose backward it was.
local function call_backward(job, recorded, dy, ctx)
  local _ <close> = recorded and sq.enable_grad() or sq.no_grad()
  local above = {}
  for k, place in ipairs(job.out_places) do above[place] = dy[k] end
  local given = table.pack(pcall(job.class.backward, ctx, table.unpack(above, 1, job.results)))
  if given[1] then return table.pack(table.unpack(given, 2, given.n)) end
  local reason = given[2]
  if type(reason) == "string" then reason = format("%s (in the backward of %s)", reason, job.class.name) end
  error(reason, 0)
end

core.set_runner(function(job, recorded, dy, keep, needed)
  if not job.class.backward then fail("[%s] it has no backward", job.class.name) end
  return sorted(job, call_backward(job, recorded, dy, context_of(job, keep, needed)))
end)

-- --- classes --------------------------------------------------------------------------------------------------------------

local Function = api.define {owner = "sq.autograd", name = "Function",
  signature = "(name: string) -> any",
  doc = "Makes a class with a backward of its own: give it forward(ctx, ...) and backward(ctx, ...), which gets the gradient "
    .. "of each result and gives that of each argument, nil for none; call it, or its apply. Ops are recorded in neither, "
    .. "but in backward under create_graph: the gradients then have gradients.",
  example = "local Cube = sq.autograd.Function \"Cube\"\n"
    .. "function Cube.forward(ctx, x) ctx:save_for_backward(x) return x ^ 3 end\n"
    .. "function Cube.backward(ctx, dy) local x = ctx:saved() return dy * 3 * x ^ 2 end\n"
    .. "local y = Cube(x)",
  call = function(name)
    if name == "" then fail "[Function] a class needs a name: sq.autograd.Function(\"Cube\")" end
    local class = {name = name}
    function class.apply(...) return apply(class, ...) end
    return setmetatable(class, {__name = name, __call = apply})
  end}

return {Function = Function}
