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
ARGS     ?=
CC       ?= gcc

# --- folders: each kind of build has its own -----------------------------------------------------
ifneq ($(SANITIZE),)
  OUT := build/$(SANITIZE)
else ifeq ($(DEBUG),yes)
  OUT := build/debug
else
  OUT := build
endif

# --- flags ---------------------------------------------------------------------------------------
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
PKGS := lua5.4 libpng cairo jansson zlib
# A machine without the libraries can still run `make deps` and `make help`.
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   = $(shell pkg-config --libs $(PKGS) 2>/dev/null)
VERSION := 0.1.0

CPPFLAGS_ALL = -Iruntime -Ibindings -D_GNU_SOURCE -DSQ_VERSION='"$(VERSION)"' \
               -DSQ_BLAS_LIB='"$(BLAS_LIB)"' $(PKG_CFLAGS) $(CPPFLAGS)
CFLAGS_ALL   = -std=c11 -O3 -g -fPIC -fvisibility=hidden -fopenmp -ffp-contract=off \
               -fno-math-errno -fno-trapping-math $(WARN) $(CFLAGS)
LDLIBS_ALL   = $(PKG_LIBS) -lm -ldl $(LDLIBS)

# The BLAS is loaded at its first product, with its threads off: see runtime/kernels/gemm.c.
BLAS_LIB := $(if $(filter openblas,$(BLAS)),libopenblas.so.0,$(if $(filter blis,$(BLAS)),libblis.so.4,lib$(BLAS).so))

ifeq ($(DEBUG),yes)
  CFLAGS_ALL += -O0 -DSQ_DEBUG
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
endif

# --- sources -------------------------------------------------------------------------------------
RUNTIME_SRC  := $(sort $(wildcard runtime/*/*.c))
PROGRAM_SRC  := bindings/main.c bindings/pause.c bindings/repl.c bindings/trace.c
BINDING_SRC  := $(sort $(filter-out $(PROGRAM_SRC),$(wildcard bindings/*.c)))
LUA_SRC      := $(sort $(wildcard bindings/lua/*.lua))

RUNTIME_OBJ  := $(RUNTIME_SRC:%.c=$(OUT)/obj/%.o)
BINDING_OBJ  := $(BINDING_SRC:%.c=$(OUT)/obj/%.o) $(OUT)/obj/lua_parts.o
PROGRAM_OBJ  := $(PROGRAM_SRC:%.c=$(OUT)/obj/%.o)
OBJ := $(RUNTIME_OBJ) $(BINDING_OBJ) $(PROGRAM_OBJ)

.PHONY: all
all: $(OUT)/seqrt $(OUT)/seqrt.so

$(OUT)/libseqrt.a: $(RUNTIME_OBJ)
	@rm -f $@ && ar rcs $@ $^

$(OUT)/seqrt: $(PROGRAM_OBJ) $(BINDING_OBJ) $(OUT)/libseqrt.a
	@echo "  LD   $@"
	@$(CC) $(LDFLAGS) -fopenmp -Wl,-E -o $@ $(PROGRAM_OBJ) $(BINDING_OBJ) $(OUT)/libseqrt.a $(REPL_LIBS) $(LDLIBS_ALL)

$(OUT)/seqrt.so: $(BINDING_OBJ) $(OUT)/libseqrt.a
	@echo "  LD   $@"
	@$(CC) $(LDFLAGS) -fopenmp -shared -o $@ $(BINDING_OBJ) $(OUT)/libseqrt.a $(LDLIBS_ALL)

# Objects are remade when the flags change.
$(OUT)/obj/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(REPL_FLAGS)' | cmp -s - $@ || echo '$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(REPL_FLAGS)' > $@
.PHONY: FORCE
FORCE:

$(OUT)/obj/%.o: %.c $(OUT)/obj/flags
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(FILE_FLAGS) -MMD -MP -c -o $@ $<

$(OUT)/obj/runtime/kernels/stamp_avx2.o:   FILE_FLAGS := -mavx2 -mfma
$(OUT)/obj/runtime/kernels/stamp_avx512.o: FILE_FLAGS := -mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx2 -mfma -mprefer-vector-width=512
$(OUT)/obj/bindings/repl.o: FILE_FLAGS := $(REPL_FLAGS)

# The Lua parts of the module, as one array each.
$(OUT)/lua_parts.c: $(LUA_SRC) Makefile
	@mkdir -p $(@D)
	@{ echo '/* made by the Makefile from bindings/lua */'; echo '#include "parts.h"'; \
	  for f in $(LUA_SRC); do n=$$(basename $$f .lua); \
	    echo "static const unsigned char part_$$n[] = {"; od -An -v -tu1 $$f | sed 's/[0-9][0-9]*/&,/g'; echo "0};"; done; \
	  echo 'const lua_part lua_parts[] = {'; \
	  for f in $(LUA_SRC); do n=$$(basename $$f .lua); \
	    echo "  {\"$$n\", (const char *)part_$$n, sizeof part_$$n - 1},"; done; \
	  echo '  {0, 0, 0}};'; } > $@

$(OUT)/obj/lua_parts.o: $(OUT)/lua_parts.c
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

-include $(OBJ:.o=.d)

.PHONY: clean
clean:
	rm -rf build
