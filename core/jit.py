"""The one door to numba.

`njit` compiles with a cache on disk. The cache folder is named by a hash of all
kernel sources, because numba's own check looks only at the file of the function
itself: with one shared folder, editing a callee in another file would leave its
cached caller stale. `QMTF_NO_JIT=1` runs the very same functions as plain Python.
`QMTF_CACHE_DIR` moves the folder (default `.cache` in the project).
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core import compiling

ROOT = Path(__file__).resolve().parent.parent
NO_JIT = os.environ.get("QMTF_NO_JIT", "") == "1"
# The commands, the settings' template and a user's own config.py hold no kernels of the engine.
FRONT_DOORS = ("backtest_engine.py", "fuzzy_engine.py", "options_strategy.py")
KERNEL_SOURCES = (
    *FRONT_DOORS,
    "core/*.py",
    "core/pricing/*.py",
    "core/features/*.py",
    "core/market/*.py",
    "strategies/*.py",
)
NO_KERNELS = ("core/backtrader_bridge.py",)  # a driver around the engine: an edit of it compiles nothing anew
KEEP_OLD_CACHES = 2


def code_hash() -> str:
    """Twelve hex digits that change with any source a kernel may be built from."""
    digest = hashlib.sha256()
    for pattern in KERNEL_SOURCES:
        for path in sorted(set(ROOT.glob(pattern)) - {ROOT / name for name in NO_KERNELS}):
            digest.update(path.relative_to(ROOT).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def cache_root() -> Path:
    return Path(os.environ.get("QMTF_CACHE_DIR", ROOT / ".cache"))


def _prune(folder: Path) -> None:
    """Keep the newest few kernel caches; every edit of the code starts a new one."""
    old = sorted((p for p in folder.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    for path in old[:-KEEP_OLD_CACHES]:
        shutil.rmtree(path, ignore_errors=True)


def _cache_folder() -> Path:
    folder = cache_root() / "numba" / code_hash()
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _prune(folder.parent)
    return folder


# Options of kernels that only other kernels call: no Python entry, no cache file of their own. Taking a market
# apart at every Python entry would triple the time to compile. Calling one from Python crashes the interpreter:
# tests reach them through a public kernel. They allocate nothing and so need no reference counts, whose atomic
# steps at each mention of an array would take most of the time; ALLOCATING is for the few that do.
ALLOCATING = {"no_cpython_wrapper": True, "cache": False, "_nrt": True}
INNER = {**ALLOCATING, "_nrt": False}
# Short kernels that loops call for each row, and the loops over marks: inlined, so that they vectorise.
HOT = {**INNER, "forceinline": True}
# The large kernels at the top, which no other kernel calls: cached without their intermediate code, which is three
# times as large as the machine code and would be read at every start.
TOP = {"top": True}

MOST_BLOCKS = 200  # basic blocks up to which an inner kernel is optimised before it is linked

if NO_JIT:

    def njit(*args: Any, **_options: Any) -> Any:
        """Plain Python stand-in for numba.njit: same call forms, same attribute `py_func`."""

        def mark(function: Callable[..., Any]) -> Callable[..., Any]:
            function.py_func = function  # type: ignore[attr-defined]
            return function

        return mark(args[0]) if args and callable(args[0]) else mark

    def by_reference(record: Any) -> Any:
        """The record itself: Python passes everything by reference."""
        return record

    def bits_of(x: float) -> int:
        """The 64 bits of a double, as a signed integer."""
        return int(struct.unpack("<q", struct.pack("<d", x))[0])

    def float_of(bits: int) -> float:
        """The double that has these 64 bits."""
        return float(struct.unpack("<d", struct.pack("<q", bits))[0])

else:
    import numba

    numba.config.CACHE_DIR = str(_cache_folder())
    # numba asks for scipy's BLAS at once, only to know whether np.cov may be compiled: a sixth of a second at every
    # start. No kernel has it; np.linalg asks on its own when it is compiled.
    if "scipy.linalg" not in sys.modules:
        sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
        import numba.np.arraymath

        del sys.modules["scipy.linalg"]
    from llvmlite import binding as _binding
    from numba import types as _types
    from numba.core import cgutils as _cgutils
    from numba.core.caching import FunctionCache
    from numba.core.codegen import JITCodeLibrary
    from numba.core.compiler import Compiler
    from numba.core.imputils import lower_getattr_generic
    from numba.core.runtime.nrt import rtsys as _runtime
    from numba.core.typing.templates import AttributeTemplate
    from numba.extending import infer_getattr, intrinsic, models, register_model, typeof_impl

    def njit(*args: Any, **options: Any) -> Any:
        """numba.njit with `cache=True`; `error_model='numpy'` so that x/0 is inf or nan, not an exception.

        `forceinline` is always given: where it is not, numba takes it from whichever caller happens to be compiled
        first, and kernels of thousands of lines were copied into every place that mentions them.
        """
        options = {"cache": True, "error_model": "numpy", "no_cfunc_wrapper": True, "forceinline": False, **options}
        if options.get("no_cpython_wrapper"):
            options["pipeline_class"] = _InnerCompiler
        if options.pop("top", False):
            options["pipeline_class"] = _TopCompiler

        cached = options.pop("cache")

        def kernel(function: Callable[..., Any]) -> Any:
            return Kernel(function, cached, options)

        return kernel(args[0]) if args and callable(args[0]) else kernel

    class Kernel:
        """A function and how it is compiled. numba's dispatcher is made when it is called, or what calls it compiled.

        Most kernels are only linked into others that the disk has already: making a dispatcher for each would take
        a tenth of a second at every start.
        """

        def __init__(self, function: Callable[..., Any], cached: bool, options: dict[str, Any]) -> None:
            functools.update_wrapper(self, function)
            self.py_func, self._cached, self._options = function, cached, options

        @functools.cached_property
        def dispatcher(self) -> Any:
            """numba's own, without constants' values in its types: each value would be compiled on its own."""
            made = numba.njit(**self._options)(self.py_func)
            if self._cached:
                made._cache = _KernelCache(self.py_func)
            template = made.get_call_template
            made.get_call_template = lambda args, kws: template(tuple(map(_types.unliteral, args)), kws)
            return made

        def __call__(self, *args: Any) -> Any:
            return self.dispatcher(*args)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return getattr(self.dispatcher, name)

    @typeof_impl.register(Kernel)
    def _type_of_kernel(kernel: Kernel, _context: Any) -> Any:
        """What another kernel sees that mentions it."""
        return _types.Dispatcher(kernel.dispatcher)

    class _KernelCache(FunctionCache):  # type: ignore[misc]
        """numba's cache on disk, read without the compiler's tables of types: only what compiles asks for them."""

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            _runtime.initialize(target_context)
            with self._guard_against_spurious_io_errors():
                found = self._load_overload(sig, target_context)
            if found is None:
                compiling.begun()
                target_context.refresh()
            return found

    class _NoEnvironment:
        """What a library without a Python entry is told instead of numba's code generator: nothing."""

        @staticmethod
        def set_env(_name: str, _environment: Any) -> None:
            """A kernel that calls no Python has no use for its environment."""

    class _InnerLibrary(JITCodeLibrary):  # type: ignore[misc]
        """The code of a kernel that only other kernels call: linked into them as it stands.

        numba optimises each kernel together with all that it calls and makes machine code of it, at every level of
        the tree once more. Here the public kernel at the top does so, once.
        """

        @property
        def codegen(self) -> Any:
            return _NoEnvironment

        def _optimize_final_module(self) -> None:
            """The small ones, whose loops vectorise best on their own; the rest is left to what it is linked into."""
            blocks = sum(1 for function in self._final_module.functions for _ in function.blocks)
            if blocks <= MOST_BLOCKS:
                super()._optimize_final_module()

        def _finalize_final_module(self) -> None:
            self._finalize_dynamic_globals()
            self._finalized = True

        def get_pointer_to_function(self, _name: str) -> int:
            self._ensure_finalized()
            return 0

    class _InnerCompiler(Compiler):  # type: ignore[misc]
        def __init__(self, typing: Any, target: Any, library: Any, *rest: Any) -> None:
            super().__init__(typing, target, library or _InnerLibrary(target.codegen(), "inner"), *rest)

    def _names_only(module: Any) -> bytes:
        """The entries that Python calls, without their code: what a cached kernel needs to be found again."""
        entries = [f.name for f in module.functions if not f.is_declaration and "cpython" in f.name]
        text = "\n".join(f'define void @"{name}"() {{\n  ret void\n}}' for name in entries)
        return bytes(_binding.parse_assembly(text).as_bitcode())

    class _TopLibrary(JITCodeLibrary):  # type: ignore[misc]
        """The code of a kernel that no other kernel is linked with."""

        def serialize_using_object_code(self) -> Any:
            self._ensure_finalized()
            return (self.name, "object", (self._get_compiled_object(), _names_only(self._final_module)))

    class _TopCompiler(Compiler):  # type: ignore[misc]
        def __init__(self, typing: Any, target: Any, library: Any, *rest: Any) -> None:
            if library is None:
                library = _TopLibrary(target.codegen(), "top")
                library.enable_object_caching()
            super().__init__(typing, target, library, *rest)

    class Reference(_types.Type):  # type: ignore[misc]
        """The type of a pointer to a NamedTuple of arrays, records and numbers.

        Its name becomes part of the name of every function that takes it; the target's own has thousands of letters.
        """

        def __init__(self, target: Any) -> None:
            self.target = target
            super().__init__(f"reference({hashlib.sha256(str(target).encode()).hexdigest()[:16]})")

    @register_model(Reference)
    class _ReferenceModel(models.PrimitiveModel):  # type: ignore[misc]
        def __init__(self, manager: Any, kind: Any) -> None:
            super().__init__(manager, kind, manager.lookup(kind.target).get_value_type().as_pointer())

    @infer_getattr
    class _ReferenceAttributes(AttributeTemplate):  # type: ignore[misc]
        key = Reference

        def generic_resolve(self, kind: Any, name: str) -> Any:
            fields = kind.target.fields
            return kind.target.types[fields.index(name)] if name in fields else None

    @lower_getattr_generic(Reference)
    def _load_field(context: Any, builder: Any, kind: Any, pointer: Any, name: str) -> Any:
        """One field of what is pointed to. The kernel's caller owns the arrays, so they are not counted again."""
        i = kind.target.fields.index(name)
        field = builder.load(_cgutils.gep_inbounds(builder, pointer, 0, i))
        if isinstance(kind.target.types[i], _types.Array):
            array = context.make_array(kind.target.types[i])(context, builder, field)
            array.meminfo = _cgutils.get_null_value(array.meminfo.type)
            field = array._getvalue()
        return field

    @intrinsic
    def by_reference(typingctx: Any, record: Any) -> Any:
        """A pointer to a kernel's own copy of a NamedTuple: its fields read alike, and a call passes one word.

        A market is 117 words, copied at every call that is not inlined (~100 ns). Public kernels say
        `m = by_reference(m)` first. Its fields cannot be assigned, and an array reached through it must not be
        returned to Python: it counts no references, the kernel's caller keeps it alive.
        """
        if isinstance(record, Reference):
            return record(record), lambda context, builder, signature, args: args[0]

        def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return _cgutils.alloca_once_value(builder, args[0])

        return Reference(record)(record), codegen

    @intrinsic
    def bits_of(typingctx: Any, x: Any) -> Any:
        """The 64 bits of a double, as a signed integer (a register move, so loops stay vectorised)."""

        def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(_types.int64))

        return _types.int64(_types.float64), codegen

    @intrinsic
    def float_of(typingctx: Any, bits: Any) -> Any:
        """The double that has these 64 bits."""

        def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(_types.float64))

        return _types.float64(_types.int64), codegen


def is_cold(kernel: str = "backtest_engine.run_rows") -> bool:
    """Whether a kernel, by default the engine's, is still to be compiled for this version of the code."""
    return not NO_JIT and not any(_cache_folder().rglob(f"{kernel}*.nbc"))
