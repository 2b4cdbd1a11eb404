"""Small float32 vectors for numba kernels: f32x4, f32x8 (the channels of a pixel) and f32x16 (pixels: 4x4 or a row).

Numba leaves LLVM's SLP vectoriser off, and loops of eight are unrolled before the loop vectoriser sees them, so the
kernels name their vectors. LLVM maps them to what the machine has (AVX-512, AVX2, SSE, NEON). `+ - * /`, `vmin`,
`vmax`, `where_ge` and `where_gt` take vectors and float32 scalars mixed.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba.core import types
from numba.core.cgutils import get_or_insert_function
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

BLOCK = 4
_I32 = ir.IntType(32)
_FLAGS = ("contract", "nsz")  # a * b + c may fuse


class Vector(types.Type):
    """The numba type of `lanes` float32."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"f32x{lanes}")


F32X16 = Vector(16)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, ir.VectorType(ir.FloatType(), vector.lanes))


def _broadcast(builder, value, lanes):
    kind = ir.VectorType(ir.FloatType(), lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_I32, 0))
    zeros = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)


def _as_vectors(builder, context, sig, args):
    """Both arguments as vectors: a scalar beside one is broadcast."""
    if not isinstance(sig.return_type, Vector):
        return args
    lanes = sig.return_type.lanes
    return [a if isinstance(t, Vector) else _broadcast(builder, a, lanes) for t, a in zip(sig.args, args, strict=True)]


def vmin(a, b):
    """Lane by lane, or of two float32; compiled code only."""
    raise NotImplementedError


def vmax(a, b):
    """Lane by lane, or of two float32; compiled code only."""
    raise NotImplementedError


class _Binary(AbstractTemplate):
    scalars = False  # whether it takes two of them too

    def generic(self, args, kws):
        vectors = [a for a in args if isinstance(a, Vector)]
        if self.scalars and tuple(args) == (types.float32, types.float32):
            return signature(types.float32, *args)
        if len(args) == 2 and vectors and all(a in (vectors[0], types.float32) for a in args):
            return signature(vectors[0], *args)
        return None


def _register(function, emit):
    own = function in (vmin, vmax)  # numba has the others' for scalars
    infer_global(function)(type(f"_{function.__name__}", (_Binary,), {"key": function, "scalars": own}))
    scalars = ((types.Float, types.Float),) if own else ()
    for pair in ((Vector, Vector), (Vector, types.Float), (types.Float, Vector), *scalars):

        @lower_builtin(function, *pair)
        def lower(context, builder, sig, args):
            return emit(builder, *_as_vectors(builder, context, sig, args))


_register(operator.add, lambda builder, a, b: builder.fadd(a, b, flags=_FLAGS))
_register(operator.sub, lambda builder, a, b: builder.fsub(a, b, flags=_FLAGS))
_register(operator.mul, lambda builder, a, b: builder.fmul(a, b, flags=_FLAGS))
_register(operator.truediv, lambda builder, a, b: builder.fdiv(a, b, flags=_FLAGS))
_register(vmin, lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), a, b))
_register(vmax, lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))


def _address(context, builder, array_type, array, index, lanes):
    data = context.make_array(array_type)(context, builder, array).data
    at = builder.gep(data, [index], inbounds=True)
    return builder.bitcast(at, ir.VectorType(ir.FloatType(), lanes).as_pointer())


def _loader(lanes):
    @intrinsic
    def load(typingctx, array, index):
        def codegen(context, builder, sig, args):
            return builder.load(_address(context, builder, sig.args[0], args[0], args[1], lanes), align=4)

        return Vector(lanes)(array, types.int64), codegen

    return load


def _storer(lanes):
    @intrinsic
    def store(typingctx, array, index, value):
        def codegen(context, builder, sig, args):
            builder.store(args[2], _address(context, builder, sig.args[0], args[0], args[1], lanes), align=4)
            return context.get_dummy_value()

        return types.void(array, types.int64, Vector(lanes)), codegen

    return store


# (array, index): consecutive floats of a contiguous 1-D float32 array; bounds are the caller's.
load4, load8, load16 = _loader(4), _loader(8), _loader(16)
store4, store8, store16 = _storer(4), _storer(8), _storer(16)


@intrinsic(prefer_literal=True)
def load_column(typingctx, array, index, column, stride):
    """f32x16: the same column of sixteen rows of `stride` floats, which begin at `index` of a contiguous 1-D float32
    array; `column` and `stride` are literal. The rows are loaded as a whole, so that their columns share the loads.
    """
    first, step = column.literal_value, stride.literal_value

    def codegen(context, builder, sig, args):
        rows = builder.load(_address(context, builder, sig.args[0], args[0], args[1], 16 * step), align=4)
        order = ir.Constant(ir.VectorType(_I32, 16), [first + step * lane for lane in range(16)])
        return builder.shuffle_vector(rows, rows, order)

    return F32X16(array, types.int64, column, stride), codegen


@intrinsic
def store_rows(typingctx, array, columns):
    """Sixteen f32x16 as the columns of sixteen rows, at the beginning of a contiguous 1-D float32 array."""

    def codegen(context, builder, sig, args):
        rows = [builder.extract_value(args[1], k) for k in range(16)]
        for step in (1, 2, 4, 8):  # each exchanges one bit of the lanes' numbers with the same of the vectors'
            low = ir.Constant(
                ir.VectorType(_I32, 16), [lane if not lane & step else 16 + lane - step for lane in range(16)]
            )
            high = ir.Constant(
                ir.VectorType(_I32, 16), [lane + step if not lane & step else 16 + lane for lane in range(16)]
            )
            before = list(rows)
            for k in range(16):
                if not k & step:
                    rows[k] = builder.shuffle_vector(before[k], before[k + step], low)
                    rows[k + step] = builder.shuffle_vector(before[k], before[k + step], high)
        for k in range(16):
            at = _address(context, builder, sig.args[0], args[0], ir.Constant(ir.IntType(64), 16 * k), 16)
            builder.store(rows[k], at, align=4)
        return context.get_dummy_value()

    return types.void(array, columns), codegen


def _unary(name):
    @intrinsic
    def lane_by_lane(typingctx, value):
        def codegen(context, builder, sig, args):
            kind = args[0].type
            function = get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), f"llvm.{name}.v16f32")
            return builder.call(function, [args[0]])

        return F32X16(F32X16), codegen

    return lane_by_lane


# Of f32x16, lane by lane
vsqrt, vfloor, vceil = _unary("sqrt"), _unary("floor"), _unary("ceil")


@intrinsic
def load_spread(typingctx, array, index):
    """f32x16: four consecutive floats of a contiguous 1-D float32 array, each in four lanes."""

    def codegen(context, builder, sig, args):
        four = builder.load(_address(context, builder, sig.args[0], args[0], args[1], BLOCK), align=4)
        order = ir.Constant(ir.VectorType(_I32, 16), [lane // BLOCK for lane in range(16)])
        return builder.shuffle_vector(four, four, order)

    return F32X16(array, types.int64), codegen


@intrinsic
def load4_and_one(typingctx, array, index):
    """f32x8: four consecutive floats of a contiguous 1-D float32 array, then 1 and zeros."""

    def codegen(context, builder, sig, args):
        four = builder.load(_address(context, builder, sig.args[0], args[0], args[1], 4), align=4)
        order = ir.Constant(ir.VectorType(_I32, 8), list(range(8)))
        return builder.shuffle_vector(four, ir.Constant(four.type, [1.0, 0.0, 0.0, 0.0]), order)

    return Vector(8)(array, types.int64), codegen


@intrinsic
def fold(typingctx, value):
    """f32x4: the sum of the four quarters of an f32x16."""

    def codegen(context, builder, sig, args):
        def part(first):
            order = ir.Constant(ir.VectorType(_I32, BLOCK), list(range(first, first + BLOCK)))
            return builder.shuffle_vector(args[0], args[0], order)

        low = builder.fadd(part(0), part(4), flags=_FLAGS)
        return builder.fadd(low, builder.fadd(part(8), part(12), flags=_FLAGS), flags=_FLAGS)

    return Vector(BLOCK)(value), codegen


@intrinsic
def lane_sum(typingctx, value):
    """The sum of a vector's lanes, in any order."""

    def codegen(context, builder, sig, args):
        kind = args[0].type
        name = f"llvm.vector.reduce.fadd.v{kind.count}f32"
        reduce = get_or_insert_function(builder.module, ir.FunctionType(kind.element, [kind.element, kind]), name)
        return builder.call(reduce, [ir.Constant(kind.element, 0.0), args[0]], fastmath=("reassoc", "nsz"))

    return types.float32(value), codegen


@intrinsic
def store_whole(typingctx, array, index, value):
    """The lanes of an f32x16 of whole numbers into a contiguous 1-D int32 array."""

    def codegen(context, builder, sig, args):
        kind = ir.VectorType(_I32, 16)
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        at = builder.bitcast(builder.gep(data, [args[1]], inbounds=True), kind.as_pointer())
        builder.store(builder.fptosi(args[2], kind), at, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, F32X16), codegen


@intrinsic
def load_block(typingctx, array, index, pitch):
    """f32x16: four floats from each of four rows that are `pitch` apart, row by row."""

    def codegen(context, builder, sig, args):
        def join(a, b):
            order = ir.Constant(ir.VectorType(_I32, 2 * a.type.count), list(range(2 * a.type.count)))
            return builder.shuffle_vector(a, b, order)

        index, parts = args[1], []
        for _ in range(BLOCK):
            parts.append(builder.load(_address(context, builder, sig.args[0], args[0], index, BLOCK), align=4))
            index = builder.add(index, args[2])
        return join(join(parts[0], parts[1]), join(parts[2], parts[3]))

    return F32X16(array, types.int64, types.int64), codegen


@intrinsic
def store_block(typingctx, array, index, pitch, value):
    """The reverse of `load_block`: the sixteen lanes of `value` into four rows of four floats."""

    def codegen(context, builder, sig, args):
        index = args[1]
        for row in range(BLOCK):
            order = ir.Constant(ir.VectorType(_I32, BLOCK), list(range(row * BLOCK, (row + 1) * BLOCK)))
            part = builder.shuffle_vector(args[3], args[3], order)
            builder.store(part, _address(context, builder, sig.args[0], args[0], index, BLOCK), align=4)
            index = builder.add(index, args[2])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, F32X16), codegen


@intrinsic
def load_quad(typingctx, array, index, pitch):
    """f32x4: two floats from each of two rows that are `pitch` apart."""

    def codegen(context, builder, sig, args):
        low = builder.load(_address(context, builder, sig.args[0], args[0], args[1], 2), align=4)
        below = builder.add(args[1], args[2])
        high = builder.load(_address(context, builder, sig.args[0], args[0], below, 2), align=4)
        return builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(_I32, 4), [0, 1, 2, 3]))

    return Vector(4)(array, types.int64, types.int64), codegen


@intrinsic
def store_quad(typingctx, array, index, pitch, value):
    """The reverse of `load_quad`."""

    def codegen(context, builder, sig, args):
        index = args[1]
        for order in ([0, 1], [2, 3]):
            part = builder.shuffle_vector(args[3], args[3], ir.Constant(ir.VectorType(_I32, 2), order))
            builder.store(part, _address(context, builder, sig.args[0], args[0], index, 2), align=4)
            index = builder.add(index, args[2])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, Vector(4)), codegen


@intrinsic
def add_block(typingctx, array, index, pitch, value, weights):
    """Eight channels `value` times the weights of a 4x4 block, added to its pixels: four in each of four rows, whose
    channels follow one another and whose rows are `pitch` floats apart. Two pixels at once, without a branch.
    """

    def codegen(context, builder, sig, args):
        def take(vector, order):
            return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_I32, 16), order))

        index, twice = args[1], take(args[3], [k % 8 for k in range(16)])
        for row in range(BLOCK):
            for pair in range(0, BLOCK, 2):
                first = row * BLOCK + pair
                share = take(args[4], [first] * 8 + [first + 1] * 8)
                offset = builder.add(index, ir.Constant(ir.IntType(64), 8 * pair))
                at = _address(context, builder, sig.args[0], args[0], offset, 16)
                product = builder.fmul(twice, share, flags=_FLAGS)
                builder.store(builder.fadd(builder.load(at, align=4), product, flags=_FLAGS), at, align=4)
            index = builder.add(index, args[2])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, Vector(8), F32X16), codegen


@intrinsic
def prefetch(typingctx, array, index):
    """Have the line of memory around a value of a contiguous 1-D array brought near, if there is one."""

    def codegen(context, builder, sig, args):
        pointer = ir.IntType(8).as_pointer()
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        at = builder.bitcast(builder.gep(data, [args[1]]), pointer)
        kind = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
        function = get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [at, *(ir.Constant(_I32, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


def _chooser(operator):
    @intrinsic
    def where(typingctx, a, b, yes, no):
        def codegen(context, builder, sig, args):
            a, b, yes, no = _as_vectors(builder, context, sig, args)
            return builder.select(builder.fcmp_ordered(operator, a, b), yes, no)

        return next(kind for kind in (a, b, yes, no) if isinstance(kind, Vector))(a, b, yes, no), codegen

    return where


# (a, b, yes, no): lane by lane `yes` where a >= b (a > b), else `no`, as where one is no number; scalars are
# broadcast.
where_ge, where_gt = _chooser(">="), _chooser(">")


def _grid(step):
    @intrinsic
    def grid(typingctx, first):
        def codegen(context, builder, sig, args):
            lanes = [float(step(k)) for k in range(16)]
            ramp = ir.Constant(ir.VectorType(ir.FloatType(), 16), lanes)
            return builder.fadd(_broadcast(builder, args[0], 16), ramp)

        return F32X16(types.float32), codegen

    return grid


# (first): f32x16 of coordinates that start at `first` and count
ramp = _grid(lambda k: k)  # along one row of sixteen
block_columns = _grid(lambda k: k % BLOCK)  # along the columns of a 4x4 block
block_rows = _grid(lambda k: k // BLOCK)  # along its rows
