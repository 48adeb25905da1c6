/* all_tmpl.h: every template for one type, and the table that kern.def asks for: a kernel that is
 * missing does not compile. */

/* Each of these uses those before it. */
/* clang-format off */
#include "kernels/elem_run_tmpl.h"
#include "kernels/math_tmpl.h"
#include "kernels/elem_tmpl.h"
#define SUM T
#include "kernels/index_tmpl.h"
#undef SUM
#include "kernels/others_tmpl.h"
#include "kernels/bytes_tmpl.h"
#include "kernels/reduce_tmpl.h"
#include "kernels/image_tmpl.h"
#include "kernels/where_tmpl.h"
#include "kernels/softmax_tmpl.h"
#include "kernels/attention_tmpl.h"
#include "kernels/norm_tmpl.h"
#include "kernels/product_tmpl.h"
#include "kernels/patch_tmpl.h"
#include "kernels/rnn_tmpl.h"
#include "kernels/loss_tmpl.h"
#include "kernels/optim_tmpl.h"
/* clang-format on */

#define ELEM(name, inputs) RUN_ELEM(name, inputs, sizeof(T))
#define TEST(name, inputs) RUN_ELEM(name, inputs, 1)
#define WHOLE(name, inputs)
#define KERN(name, args)
#include "kernels/kern.def"
#undef ELEM
#undef TEST
#undef WHOLE
#undef KERN

static const sq_kern S(table) = {
    .elem =
        {
#define ELEM(name, inputs) [SQ_ELEM_##name] = S(name),
#define TEST(name, inputs) [SQ_ELEM_##name] = S(name),
#define WHOLE(name, inputs)
#define KERN(name, args)
#include "kernels/kern.def"
#undef ELEM
#undef TEST
#undef WHOLE
#undef KERN
        },
#define ELEM(name, inputs)
#define TEST(name, inputs)
#define WHOLE(name, inputs)
#define KERN(name, args) .name = S(name),
#include "kernels/kern.def"
#undef ELEM
#undef TEST
#undef WHOLE
#undef KERN
};
