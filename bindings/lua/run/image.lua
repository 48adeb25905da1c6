-- image.lua: pictures as tensors (C,Y,X), bytes or floats 0 to 1, and grids of them as torchvision makes them.

local sq = require "seqrt"
local store = require "seqrt.store"

local image = {}

local fail = require("seqrt.api").fail

function image.load(path, dtype)
  if dtype == "uint8" then return store.png_read(path) end
  if not dtype:find "^float" then fail("[image.load] dtype is %s: it must be uint8, float32 or float64", dtype) end
  local t = store.png_read(path, true)
  return t:to(dtype):div_(t.dtype == "uint8" and 255 or 65535)
end

-- The picture that x is, (C,Y,X) of uint8: (Y,X), (C,Y,X), floats or bytes. Floats are cut to 0..1, and v becomes
-- floor(255 v + 0.5); with bits = 16 floor(65535 v + 0.5), in float32. Raises in the name of `what`.
function image.bytes(what, x, bits)
  if not sq.is_tensor(x) then fail("[%s] the picture is a %s: it must be a Tensor", what, type(x)) end
  local t = x:dim() == 2 and x:unsqueeze(1) or x
  if t:dim() ~= 3 then
    fail("[%s] the picture is %s: it must be (C,Y,X) or (Y,X); make_grid lays out a batch", what, x.shape)
  end
  local C = t:size(1)
  if C ~= 1 and C ~= 3 and C ~= 4 then fail("[%s] the picture is %s: C must be 1, 3 or 4", what, x.shape) end
  local deep = bits == 16
  if t.dtype == "uint8" then return deep and t:float():mul_(257) or t end
  if not t.dtype:find "^float" then fail("[%s] the picture is %s: it must be uint8 or float", what, t.dtype) end
  local most = deep and 65535 or 255
  local whole = t:detach():mul(most):add_(0.5):clamp_(0, most)
  return deep and whole:floor():float() or whole:to "uint8"
end

function image.save(path, t, bits)
  if bits ~= 8 and bits ~= 16 then fail("[image.save] bits is %d: it must be 8 or 16", bits) end
  store.png_write(path, image.bytes("image.save", t, bits))
end

-- --- grids ---------------------------------------------------------------------------------------------------

-- (B,C,Y,X) with C at least 3 out of what make_grid takes.
local function as_batch(x)
  if type(x) == "table" then
    if #x == 0 then fail "[make_grid] the list is empty" end
    x = sq.stack(x)
  end
  if not sq.is_tensor(x) then fail("[make_grid] tensor is a %s: it must be a Tensor or a list of them", type(x)) end
  x = x:detach()
  local dims = x:dim()
  if dims < 2 or dims > 4 then fail("[make_grid] tensor is %s: it must be (B,C,Y,X), (C,Y,X) or (Y,X)", x.shape) end
  if dims == 2 then x = x:unsqueeze(1) end
  if dims < 4 then x = x:unsqueeze(1) end
  if x:size(2) == 1 then x = sq.cat({x, x, x}, 2) end
  return x
end

-- (x - lo) / max(hi - lo, 1e-5), cut to 0..1
local function stretch(x, range)
  local lo = range and range[1] or x:min():item()
  local hi = range and range[2] or x:max():item()
  return x:clamp(lo, hi):sub_(lo):div_(math.max(hi - lo, 1e-5))
end

local function normalized(x, range, scale_each)
  if not x.dtype:find "^float" then x = x:float() end
  if not scale_each then return stretch(x, range) end
  local each = {}
  for i = 1, x:size(1) do each[i] = stretch(x[i], range) end
  return sq.stack(each)
end

function image.make_grid(tensor, nrow, padding, normalize, value_range, scale_each, pad_value)
  if nrow < 1 then fail("[make_grid] nrow is %d: it must be at least 1", nrow) end
  if padding < 0 then fail("[make_grid] padding is %d: it must be at least 0", padding) end
  if value_range and #value_range ~= 2 then fail "[make_grid] value_range must be {lo, hi}" end
  local x = as_batch(tensor)
  local B, C, Y, X = x:size(1), x:size(2), x:size(3), x:size(4)
  if B == 0 then fail "[make_grid] there is no picture" end
  if normalize then x = normalized(x, value_range, scale_each) end
  if B == 1 then return x[1] end
  local columns = math.min(nrow, B)
  local rows = (B + columns - 1) // columns
  local high, wide = Y + padding, X + padding
  local grid = sq.full({C, high * rows + padding, wide * columns + padding}, pad_value, {dtype = x.dtype})
  for i = 1, B do
    local top = (i - 1) // columns * high + padding
    local left = (i - 1) % columns * wide + padding
    grid[{{}, {top + 1, top + Y}, {left + 1, left + X}}] = x[i]
  end
  return grid
end

-- A batch is shown as a grid.
function image.show(x)
  if type(x) == "table" or sq.is_tensor(x) and x:dim() == 4 then x = image.make_grid(x, 8, 2, false, nil, false, 0) end
  local t = image.bytes("image.show", x)
  if t:numel() == 0 then fail("[image.show] the picture is %s: it has no pixels", t.shape) end
  require "seqrt.show".picture(t)
end

function image.save_grid(path, ...) image.save(path, image.make_grid(...), 8) end

return image
