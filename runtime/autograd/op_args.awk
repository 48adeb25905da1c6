# op_args.awk: names for the arguments of every op, made of the signatures in op.def: SUM_DIM is the place of sum's `dim`
# among the arguments, IN_EMBEDDING_WEIGHT that of embedding's `weight` among the tensor inputs. Of a list of tensors it is
# the first one's place; inputs behind a list have none that is fixed.

BEGIN { print "/* op_args.h: made by the Makefile from op.def with op_args.awk. */" }

/^OP\(/ {
  op = $0
  sub(/^OP\(/, "", op)
  sub(/,.*/, "", op)
  params = $0
  sub(/^[^"]*"\(/, "", params)
  sub(/\) ->.*/, "", params)
  args = inputs = ""
  listed = 0
  n = split(params, param, /, /)
  for (i = 1; i <= n; i++) {
    name = type = param[i]
    sub(/:.*/, "", name)
    sub(/^[^:]*: */, "", type)
    name = toupper(op "_" name)
    args = args (i > 1 ? ", " : "") name
    if (type !~ /^Tensor/ || listed) continue
    inputs = inputs (inputs != "" ? ", " : "") "IN_" name
    listed = type ~ /^Tensor\[\]/
  }
  print "enum { " args " };"
  if (inputs != "") print "enum { " inputs " };"
}
