# seqrt: `make palindrome` shows it at work, `make test` proves it, `make help` lists the rest.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
SHELL := /bin/bash

# --- what you may set ---------------------------------------------------------------------------
PREFIX   ?= /usr/local
SANITIZE ?=
BLAS     ?= openblas
READLINE ?= yes
DEBUG    ?= no
SMALL    ?= no
ARGS     ?=
TAGS     ?=
SPECS    ?= spec
DESTDIR  ?=
ifeq ($(origin CC),default)
  CC := gcc
endif

# --- folders: each kind of build has its own -----------------------------------------------------
comma := ,
ifneq ($(SANITIZE),)
  OUT := build/$(subst $(comma),-,$(SANITIZE))$(if $(filter yes,$(SMALL)),-small)
else ifeq ($(DEBUG),yes)
  OUT := build/debug
else ifeq ($(SMALL),yes)
  OUT := build/small
else
  OUT := build
endif

# --- flags ---------------------------------------------------------------------------------------
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
PKGS := lua5.4 libpng cairo jansson zlib
# Asked at first use: a machine without the libraries can still run `make deps` and `make help`.
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS) 2>/dev/null))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS) 2>/dev/null))$(PKG_LIBS)
# The library's own needs: all but Lua.
LIB_LIBS   = $(eval LIB_LIBS := $$(shell pkg-config --libs $(filter-out lua%,$(PKGS)) 2>/dev/null))$(LIB_LIBS)
VERSION := 0.1.0
SONAME  := libseqrt.so.0

# Names of the runtime are seen across its files, and by libseqrt.map from outside; the program and the module show none.
VISIBILITY := hidden
$(OUT)/obj/runtime/%: private VISIBILITY := default -fno-semantic-interposition
CPPFLAGS_ALL = -Iruntime -Ibindings -I$(OUT)/made -D_GNU_SOURCE -DSQ_VERSION='"$(VERSION)"' \
               -DSQ_BLAS_LIB='"$(BLAS_LIB)"' $(PKG_CFLAGS) $(CPPFLAGS)
CFLAGS_ALL   = -std=c11 -O3 -g -fPIC -fvisibility=$(VISIBILITY) -pthread -fopenmp-simd -ffp-contract=off \
               -fno-math-errno -fno-trapping-math $(WARN) $(CFLAGS)
LDLIBS_ALL   = $(PKG_LIBS) -lm -ldl $(LDLIBS)

# The BLAS is loaded at its first product, with its threads off: see runtime/kernels/gemm.c.
BLAS_LIB := $(if $(filter openblas,$(BLAS)),libopenblas.so.0,$(if $(filter blis,$(BLAS)),libblis.so.4,lib$(BLAS).so))

ifeq ($(DEBUG),yes)
  CFLAGS_ALL += -O0 -DSQ_DEBUG
endif
ifeq ($(SMALL),yes)
  CPPFLAGS_ALL += -DSQ_SMALL
endif
ifneq ($(SANITIZE),)
  CFLAGS_ALL += -O1 -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -DSQ_DEBUG -DSQ_NO_CACHE
  LDFLAGS    += -fsanitize=$(SANITIZE)
  ifneq ($(findstring undefined,$(SANITIZE)),)
    CFLAGS_ALL += -fno-sanitize-recover=undefined
  endif
endif
ifeq ($(READLINE),yes)
  REPL_FLAGS := -DSQ_READLINE
  REPL_LIBS  := -lreadline
  CHECK_PKGS := readline
endif

# --- sources -------------------------------------------------------------------------------------
RUNTIME_SRC  := $(sort $(wildcard runtime/*.c runtime/*/*.c))
PROGRAM_SRC  := $(sort $(wildcard bindings/program/*.c))
BINDING_SRC  := $(sort $(wildcard bindings/bind/*.c bindings/module/*.c))
LUA_SRC      := $(sort $(wildcard bindings/lua/*/*.lua))

RUNTIME_OBJ  := $(RUNTIME_SRC:%.c=$(OUT)/obj/%.o)
BINDING_OBJ  := $(BINDING_SRC:%.c=$(OUT)/obj/%.o) $(OUT)/obj/lua_parts.o
PROGRAM_OBJ  := $(PROGRAM_SRC:%.c=$(OUT)/obj/%.o)
OBJ := $(RUNTIME_OBJ) $(BINDING_OBJ) $(PROGRAM_OBJ)

.PHONY: all
all: $(OUT)/seqrt $(OUT)/seqrt.so $(OUT)/$(SONAME)

$(OUT)/libseqrt.a: $(RUNTIME_OBJ)
	@rm -f $@ && ar rcs $@ $^

$(OUT)/$(SONAME): $(RUNTIME_OBJ) runtime/libseqrt.map
	@echo "  LD   $@"
	@$(CC) $(LDFLAGS) -pthread -shared -Wl,-soname,$(SONAME) -Wl,--version-script=runtime/libseqrt.map \
	  -Wl,-Bsymbolic -Wl,-z,nodelete -o $@ $(RUNTIME_OBJ) $(LIB_LIBS) -lm -ldl

$(OUT)/seqrt: $(PROGRAM_OBJ) $(BINDING_OBJ) $(OUT)/libseqrt.a
	@echo "  LD   $@"
	@$(CC) $(LDFLAGS) -pthread -Wl,-E -Wl,--exclude-libs,libseqrt.a -o $@ $(PROGRAM_OBJ) $(BINDING_OBJ) $(OUT)/libseqrt.a $(REPL_LIBS) $(LDLIBS_ALL)

$(OUT)/seqrt.so: $(BINDING_OBJ) $(OUT)/libseqrt.a
	@echo "  LD   $@"
	@$(CC) $(LDFLAGS) -pthread -Wl,-z,nodelete -Wl,--exclude-libs,libseqrt.a -shared -o $@ $(BINDING_OBJ) $(OUT)/libseqrt.a $(LDLIBS_ALL)

# Objects are remade when the flags change.
$(OUT)/obj/flags: FORCE
	@pkg-config --exists $(PKGS) $(CHECK_PKGS) 2>/dev/null || { \
	  echo "seqrt needs pkg-config and the libraries $(PKGS) $(CHECK_PKGS): \`make deps\` installs what is missing." >&2; exit 1; }
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(REPL_FLAGS)' | cmp -s - $@ || echo '$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(REPL_FLAGS)' > $@
.PHONY: FORCE
FORCE:

$(OUT)/obj/%.o: %.c $(OUT)/obj/flags
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(FILE_FLAGS) -MMD -MP -c -o $@ $<

# Names for the arguments of ops, made of the menu; what reads them is found by the compiler from the second time on.
$(OUT)/made/autograd/op_args.h: runtime/autograd/op_args.awk runtime/autograd/op.def
	@mkdir -p $(@D)
	@awk -f $^ > $@

$(RUNTIME_OBJ): | $(OUT)/made/autograd/op_args.h

$(OUT)/obj/runtime/kernels/stamp_avx2.o:   FILE_FLAGS := -mavx2 -mfma
$(OUT)/obj/runtime/kernels/stamp_avx512.o: FILE_FLAGS := -mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx2 -mfma -mprefer-vector-width=512
$(OUT)/obj/bindings/program/repl.o: FILE_FLAGS := $(REPL_FLAGS)

# The Lua parts of the module, as one array each, and what they define: see bindings/bind/parts.h.
DEFINES = sed -n -e 's/.*owner = "\(sq[a-z_.]*\)", name = "\([A-Za-z0-9_]*\)".*/  {"\1", "\2", "'$$n'"},/p' \
                 -e 's/.*owner = "\(sq[a-z_.]*\)\.\([a-z_]*\)", name = name.*/  {"\1", "\2", "'$$n'"},/p'

$(OUT)/lua_parts.list: FORCE
	@mkdir -p $(@D)
	@echo '$(LUA_SRC)' | cmp -s - $@ || echo '$(LUA_SRC)' > $@

$(OUT)/lua_parts.c: $(LUA_SRC) $(OUT)/lua_parts.list Makefile
	@mkdir -p $(@D)
	@{ echo '/* made by the Makefile from bindings/lua */'; echo '#include "bind/parts.h"'; \
	  for f in $(LUA_SRC); do n=$$(basename $$f .lua); \
	    echo "static const unsigned char text_$$n[] = {"; od -An -v -tu1 $$f | sed 's/[0-9][0-9]*/&,/g'; echo "0};"; done; \
	  echo 'const part_file part_files[] = {'; \
	  for f in $(LUA_SRC); do n=$$(basename $$f .lua); \
	    echo "  {\"$$n\", (const char *)text_$$n, sizeof text_$$n - 1},"; done; \
	  echo '  {0, 0, 0}};'; \
	  echo 'const part_value part_values[] = {'; \
	  for f in $(LUA_SRC); do n=$$(basename $$f .lua); $(DEFINES) $$f; done; \
	  echo '  {0, 0, 0}};'; } > $@

$(OUT)/obj/lua_parts.o: $(OUT)/lua_parts.c $(OUT)/obj/flags
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

-include $(OBJ:.o=.d)

# --- what must be on the machine --------------------------------------------------------------------
BUILD_PKGS := pkg-config liblua5.4-dev libopenblas-dev libpng-dev zlib1g-dev libcairo2-dev libjansson-dev \
              $(if $(filter yes,$(READLINE)),libreadline-dev)
TEST_PKGS  := lua5.4 curl lua-busted lua-check clang-format valgrind

# $(call install,packages): only those that are missing, by apt-get; elsewhere they are named.
define install
	@missing=""; for p in $(1); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	[ -z "$$missing" ] && exit 0; \
	command -v apt-get >/dev/null || { echo "not a Debian machine: please install what these packages hold:$$missing"; exit 0; }; \
	sudo=""; [ "$$(id -u)" = 0 ] || sudo="sudo"; \
	echo "installing:$$missing"; \
	get="$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq"; \
	$$get install -y --no-install-recommends $$missing >/dev/null 2>&1 || \
	{ $$get update && $$get install -y --no-install-recommends $$missing >/dev/null; }
endef

.PHONY: deps test-deps
deps:
	$(call install,$(BUILD_PKGS))
test-deps: deps
	$(call install,$(TEST_PKGS))

# --- use ----------------------------------------------------------------------------------------------
.PHONY: palindrome gan bench debug install uninstall
palindrome: deps
	@$(MAKE) --no-print-directory all
	$(OUT)/seqrt scripts/palindrome.lua $(ARGS)

# The data by `make mnist`, unless they are elsewhere; where they can't be had the script draws digits, and says so.
gan: deps
	@$(MAKE) --no-print-directory all
	@[ -n "$$SEQRT_DATA" ] || $(MAKE) --no-print-directory mnist || true
	$(OUT)/seqrt scripts/gan.lua $(ARGS)

# MNIST into data/mnist/, whole or not at all; a download that was cut goes on.
.PHONY: mnist
mnist:
	$(call install,curl ca-certificates)
	@data/fetch.sh

# What lua-language-server reads of the API; .luarc.json points there.
.PHONY: types
types: all
	@mkdir -p build/types
	@$(OUT)/seqrt --luacats > build/types/seqrt.lua.part && mv build/types/seqrt.lua.part build/types/seqrt.lua

# The places of a new op, which of them are done, and what to add to the others: by any Lua at hand.
.PHONY: new-op
new-op:
	@$(firstword $(wildcard $(OUT)/seqrt) lua5.4) spec/lib/new_op.lua "$(NAME)" "$(FAMILY)"

# Training steps against the machine, PyTorch and JAX: those of bench-peers, else python3's where it has them.
PEERS := build/peers
bench: all
	$(OUT)/seqrt spec/bench/bench.lua --out $(OUT)/bench.json $(if $(wildcard $(PEERS)/bin/python),--python $(PEERS)/bin/python) $(ARGS)

# PyTorch and JAX, in a virtual environment of their own; torch.compile needs a C++ compiler.
.PHONY: bench-peers
bench-peers:
	$(call install,python3 python3-venv g++)
	python3 -m venv $(PEERS)
	$(PEERS)/bin/pip install torch numpy jax

# What a training step executes, for instructions_spec.lua: see spec/bench/count.lua.
.PHONY: counts
counts: all
	$(call install,valgrind)
	SEQRT=$(OUT)/seqrt $(OUT)/seqrt -e 'require "spec.bench.count".record()'

debug:
	@$(MAKE) --no-print-directory DEBUG=yes all

install: all
	@$(MAKE) --no-print-directory copy

# What is built, into its places: the program, the Lua module, the C library with its headers.
INCLUDE  = $(DESTDIR)$(PREFIX)/include/seqrt
LIBDIR   = $(DESTDIR)$(PREFIX)/lib
HEADERS := $(patsubst runtime/%,%,$(filter-out %_priv.h %_tmpl.h %/stamp.h,$(wildcard runtime/*.h runtime/*/*.h)) \
             $(wildcard runtime/*/*.def))

define SEQRT_PC
prefix=$(PREFIX)
libdir=$${prefix}/lib
includedir=$${prefix}/include/seqrt

Name: seqrt
Description: a training runtime for neural networks
Version: $(VERSION)
Cflags: -I$${includedir}
Libs: -L$${libdir} -lseqrt
Libs.private: $(LIB_LIBS) -lm -ldl -pthread
endef
export SEQRT_PC

.PHONY: copy
copy:
	install -d $(DESTDIR)$(PREFIX)/bin $(LIBDIR)/lua/5.4 $(LIBDIR)/pkgconfig
	install -m 755 $(OUT)/seqrt $(DESTDIR)$(PREFIX)/bin/seqrt
	install -m 755 $(OUT)/seqrt.so $(LIBDIR)/lua/5.4/seqrt.so
	install -m 644 $(OUT)/libseqrt.a $(LIBDIR)/libseqrt.a
	install -m 755 $(OUT)/$(SONAME) $(LIBDIR)/libseqrt.so.$(VERSION)
	ln -sf libseqrt.so.$(VERSION) $(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(LIBDIR)/libseqrt.so
	@for h in $(HEADERS); do install -D -m 644 runtime/$$h $(INCLUDE)/$$h || exit 1; done
	@echo "$$SEQRT_PC" > $(LIBDIR)/pkgconfig/seqrt.pc && chmod 644 $(LIBDIR)/pkgconfig/seqrt.pc
	@[ -n "$(DESTDIR)" ] || ldconfig 2>/dev/null || true

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/seqrt $(LIBDIR)/lua/5.4/seqrt.so $(LIBDIR)/pkgconfig/seqrt.pc
	rm -f $(LIBDIR)/libseqrt.a $(LIBDIR)/libseqrt.so $(LIBDIR)/$(SONAME) $(LIBDIR)/libseqrt.so.$(VERSION)
	rm -rf $(INCLUDE)

# --- proof ---------------------------------------------------------------------------------------------
# Specs tagged #slow run only by `make test TAGS=slow`; #long ones not under a sanitizer, nor where all is cut small.
BUSTED    = $$(command -v busted)
SPEC_TAGS = $(if $(TAGS),--tags=$(TAGS),--exclude-tags=slow$(if $(SANITIZE)$(filter yes,$(SMALL)),$(comma)long))
SPEC_ENV  = SEQRT=$(OUT)/seqrt SEQRT_PAUSE=0 \
            ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 \
            LSAN_OPTIONS=suppressions=$(CURDIR)/spec/lib/lsan.supp:print_suppressions=0 \
            UBSAN_OPTIONS=print_stacktrace=1 \
            TSAN_OPTIONS=suppressions=$(CURDIR)/spec/lib/tsan.supp

# Programs that test a floor from below, in C; a spec runs each.
TEST_PROGRAMS := $(OUT)/kernels_test

$(TEST_PROGRAMS): $(OUT)/%: $(OUT)/obj/spec/kernels/%.o $(OUT)/libseqrt.a
	@echo "  LD   $@"
	@$(CC) $(LDFLAGS) -pthread -o $@ $< $(OUT)/libseqrt.a $(LDLIBS_ALL)

-include $(TEST_PROGRAMS:$(OUT)/%=$(OUT)/obj/spec/kernels/%.d)

.PHONY: test lint
test: test-deps
	@$(MAKE) --no-print-directory all $(TEST_PROGRAMS) replay
	@$(SPEC_ENV) $(OUT)/seqrt $(BUSTED) $(SPEC_TAGS) $(ARGS) $(SPECS)

C_FILES := $(sort $(wildcard runtime/*.h runtime/*/*.[ch] bindings/*/*.[ch] spec/fuzz/*.[ch]))

# Every warning an error, luacheck, the layout, the rules of the house.
lint: test-deps
	@$(MAKE) --no-print-directory all
	@echo "  warnings";  for f in $(RUNTIME_SRC) $(BINDING_SRC) $(PROGRAM_SRC); do \
	  $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(REPL_FLAGS) -mavx512f -mavx2 -mfma -fsyntax-only -Werror $$f || exit 1; done
	@echo "  luacheck";  luacheck -q --no-color $(wildcard bindings/lua/*/*.lua scripts/*.lua spec/*.lua spec/*/*.lua)
	@echo "  layout";    clang-format --dry-run -Werror $(C_FILES)
	@echo "  house";     $(SPEC_ENV) $(OUT)/seqrt $(BUSTED) spec/house_spec.lua

# Each reader of files has a fuzz target and a corpus. `make fuzz` searches for FUZZ_SECONDS each, by libFuzzer; `make
# test` replays the corpora with every truncation and every flipped bit, by any compiler.
FUZZ_SECONDS ?= 20
FUZZ_TARGETS := $(sort $(patsubst spec/fuzz/fuzz_%.c,%,$(wildcard spec/fuzz/fuzz_*.c)))
FUZZ_SRC     := $(addprefix runtime/base/,mem.c status.c shape.c file.c wire.c) \
                $(addprefix runtime/files/,png.c npy.c safetensors_read.c) runtime/datasets/idx.c
FUZZ_CFLAGS   = -std=c11 -g -Ispec/fuzz -DSQ_DEBUG -DSQ_NO_CACHE $(WARN)

.PHONY: fuzz replay
fuzz: $(FUZZ_TARGETS:%=build/fuzz/%)
	@for t in $(FUZZ_TARGETS); do echo "  FUZZ $$t"; mkdir -p build/fuzz/found/$$t; \
	  build/fuzz/$$t -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=1024 -malloc_limit_mb=512 -timeout=10 \
	    -artifact_prefix=build/fuzz/found/$$t- -print_final_stats=1 build/fuzz/found/$$t spec/fuzz/corpus/$$t \
	    2>build/fuzz/$$t.log || { tail -40 build/fuzz/$$t.log; exit 1; }; \
	  grep -E 'number_of_executed|new_units' build/fuzz/$$t.log; done

build/fuzz/%: spec/fuzz/fuzz_%.c $(wildcard spec/fuzz/*.h) $(FUZZ_SRC)
	@mkdir -p $(@D)
	@echo "  CLANG $@"
	@clang $(CPPFLAGS_ALL) -O1 $(FUZZ_CFLAGS) -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	  -o $@ $< $(FUZZ_SRC) $(PKG_LIBS) -lm

replay: $(FUZZ_TARGETS:%=$(OUT)/replay/%)
	@for t in $(FUZZ_TARGETS); do printf "  replay %-12s " $$t; \
	  $(SPEC_ENV) $(OUT)/replay/$$t spec/fuzz/corpus/$$t/* || exit 1; done

$(OUT)/replay/%: spec/fuzz/fuzz_%.c spec/fuzz/replay.c $(wildcard spec/fuzz/*.h) $(OUT)/libseqrt.a
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(FUZZ_CFLAGS) $(LDFLAGS) -o $@ $< spec/fuzz/replay.c $(OUT)/libseqrt.a $(LDLIBS_ALL)

.PHONY: clean help
clean:
	rm -rf build

help:
	@echo "make                the program build/seqrt, the module build/seqrt.so, the library build/$(SONAME)"
	@echo "make palindrome     install what is missing, build, run the palindrome sweep (ARGS='--T 5,10')"
	@echo "make gan            likewise: fetch MNIST, train the GAN (ARGS='--epochs 10')"
	@echo "make test           install what the tests need, build, run every spec (TAGS=slow, ARGS='--filter=name')"
	@echo "make SMALL=yes test the same where all that cuts work or memory is tiny (runtime/base/limits.h)"
	@echo "make fuzz           search the readers of files for faults (clang; FUZZ_SECONDS=20 each)"
	@echo "make lint           warnings as errors, luacheck, clang-format, the rules of the house"
	@echo "make mnist          download MNIST into data/mnist and check it"
	@echo "make types          build/types/seqrt.lua, for editors with lua-language-server"
	@echo "make bench          time training steps against the machine's floor and, where installed, PyTorch and JAX"
	@echo "make bench-peers    install PyTorch and JAX for it, in build/peers"
	@echo "make counts         record how many instructions training steps execute; make test holds them to that"
	@echo "make new-op         the places of a new op, and what is missing there (NAME=atan FAMILY=elem)"
	@echo "make deps           install the libraries that are missing (apt-get, with sudo when not root)"
	@echo "make debug          build/debug: no optimisation, our own assertions on"
	@echo "make install        program, Lua module and C library into PREFIX (/usr/local); make uninstall takes them away"
	@echo "make clean          remove build/"
	@echo "variables           PREFIX DESTDIR CC CFLAGS SANITIZE=address|undefined|thread BLAS=openblas|blis READLINE=yes|no SMALL=yes (all that cuts work is tiny)"
