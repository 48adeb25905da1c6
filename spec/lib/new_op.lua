-- new_op.lua: what `make new-op NAME=atan FAMILY=elem` prints: each place that an op has, whether it is there, the line to add
-- and where, and the command that fails first. It reads the sources, so it may be asked again after every step.
local name, family = arg[1] or "", arg[2] or ""
if family == "" then family = "elem" end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  return text
end

-- The path of a file of spec/, in whichever room it lies.
local function spec(file)
  local pipe = assert(io.popen("find spec -name " .. file))
  local path = pipe:read "l"
  pipe:close()
  return assert(path, file .. " is not in spec/")
end

local function stop(...)
  io.stderr:write("new-op: ", string.format(...), "\n")
  os.exit(1)
end

if not name:find "^[a-z][a-z0-9_]*$" then stop("NAME is '%s': small letters, digits and _, as make new-op NAME=atan", name) end

local block_file = "runtime/autograd/op_" .. family .. ".c"
if not io.open(block_file) then
  local families = {}
  for one in read "runtime/autograd/op.def":gmatch "%-%-%- op_(%w+)%.c" do families[#families + 1] = one end
  stop("there is no %s; FAMILY is one of %s", block_file, table.concat(families, " "))
end

local macro = family == "act" and "SQ_ACTIVATION" or "SQ_ELEMENTWISE"
local elem = family == "elem" or family == "act"
local places = {
  {file = "runtime/autograd/op.def", has = "\nOP%(" .. name .. ",", after = "\n/%* %-%-%- op_" .. family .. "%.c[:, ].-\n\n",
    add = ('OP(%s, "(x: Tensor) -> Tensor", "One line of doc.", -2, 2)'):format(name),
    why = "signature, doc, and where the gradient is checked; or {0, 0}: it has none"},
  {file = block_file, has = "sq__op_" .. name .. "%f[^%w_]", other = "SQ_%u+%(" .. name .. ",",
    like = elem and "SQ_%u+%([^\n]*true[^\n]*",
    add = elem and ('%s(%s, SQ_ELEM_%s, true, .grad = {{SQ_ELEM_%s_back, "ga", %s_slope}});')
        :format(macro, name, name, name, name)
      or ("const sq_op_impl sq__op_%s = {.forward = %s_forward, .backward = %s_backward, .again = %s_again};")
        :format(name, name, name, name),
    why = "the block: formula in a comment, shapes, forward, backward, and backward in recorded ops"},
}
if elem then
  local kernels = {
    {file = "runtime/kernels/kern.def", has = "\nELEM%(" .. name .. ",", like = "ELEM%([%w_]+_back, 2%)",
      add = ("ELEM(%s, 1)   ELEM(%s_back, 2)"):format(name, name), why = "the kernels, where no existing ones will do"},
    {file = "runtime/kernels/elem_tmpl.h", has = "%f[%w]" .. name .. "[,)]", like = "CORE2%([%w_]+_back,",
      add = ("CORE1(%s, f(a))   CORE2(%s_back, a * f'(b))"):format(name, name),
      why = "a body each; a new function of floats: math_tmpl.h"},
    {file = spec "kernels_oracle.h", has = "\nO%(" .. name .. ",", like = "\nO%([%w_]+_back,",
      add = ("O(%s, 2, 0, fl(a))   O(%s_back, 2, 0, a * f'l(b))"):format(name, name),
      why = "the same in long double, with its tolerance", test = "make build/kernels_test && build/kernels_test"},
  }
  table.move(kernels, 1, #kernels, #places + 1, places)
end
local busted = "SEQRT=build/seqrt SEQRT_PAUSE=0 build/seqrt $(command -v busted) "
local gradcheck, golden = spec "op_gradcheck_spec.lua", spec "golden_spec.lua"
places[#places + 1] = {file = spec "op_samples.lua", has = '[%s"]' .. name .. '[%s"(]',
  other = "samples%." .. name .. "%f[^%w_]",
  after = elem and '\nunary "[^\n]*', like = not elem and "\nfunction samples%.",
  add = elem and "the name in the list that follows `unary`"
    or ("function samples.%s() return {real(shape())} end"):format(name),
  why = "how arguments are drawn", test = busted .. gradcheck}
places[#places + 1] = {file = spec "ops.py", has = '"' .. name .. '"', after = ".*\n\n%f[#]",
  add = ('case("%s", [draw(2, 3)], torch.%s), as the last cases'):format(name, name),
  why = "PyTorch's numbers: cd " .. spec "ops.py":match "^(.*)/" .. " && python3 ops.py > ops.lua"}
places[#places + 1] = {file = spec "ops.lua", has = "case%('" .. name .. "'", add = "made by ops.py", why = "the numbers",
  test = busted .. golden}

-- Where the last match of a pattern ends.
local function last_of(text, pattern)
  local last
  for stop_at in text:gmatch(pattern .. "()") do last = stop_at end
  return last and last - 1
end

local function line_of(text, at) return select(2, text:sub(1, at):gsub("\n", "\n")) end

local first, test
for i, place in ipairs(places) do
  local text = "\n" .. read(place.file)
  local at = text:find(place.has) or place.other and text:find(place.other)
  if at then
    print(("%d. %s:%d: there"):format(i, place.file, line_of(text, at) + 1))
  else
    local last = #text - 1 -- the end, where neither is said
    if place.after then last = select(2, text:find(place.after)) end
    if place.like then last = last_of(text, place.like) end
    print(("%d. %s, after line %d: %s"):format(i, place.file, line_of(text, last), place.add))
    print(("      (%s)"):format(place.why))
    first, test = true, test or place.test
  end
end
if not first then
  print "All places have it. `make test` checks it: gradient, PyTorch's numbers, help, editor types."
else
  if not elem then
    print "Kernels of its own: kern.def, a body in a *_tmpl.h, a test in kernels_test*; a layer: bindings/README.md."
  end
  print "The build names what is missing in C: make"
  print("The first spec that fails: " .. (test or busted .. golden))
end
