# pg_tide: the extension (extension/), the gateway (gateway/) and the client
# (client/).
#
#   make, make install, make uninstall, make clean, make installcheck
#                as with PGXS; without the libraries of the gateway or of the
#                client, the extension alone, with a word about it
#   make test    everything, on a throw-away PostgreSQL
#   make demo    two devices, one athlete, on a throw-away PostgreSQL
#   make soak SECONDS=600
#                the random ones of the tests, each for so long
#   make fuzz SECONDS=600
#                the fuzzers, each for so long
#   make mutants which test notices when a guard is taken out, for each guard
#   make bench   what tracking, pushing and pulling cost
#   make bench-before BEFORE=COMMIT
#                what is slower than it was at that commit
#   make deps    the packages that building and installing need
#   make packages
#                Debian packages, in dist/
#   make dist    what PGXN distributes, in dist/
#   make indent  PostgreSQL's own code layout (needs pg_bsd_indent 2.1.2)
#
# PG_CONFIG=/path/to/pg_config picks the PostgreSQL.

ifneq ($(origin PG_CONFIG), undefined)
export PG_CONFIG
endif

.PHONY: all extension gateway client install uninstall installcheck clean test soak fuzz mutants demo bench bench-before deps \
	packages dist indent

# `pgxn install` has PostgreSQL's headers and no more
PKG_CONFIG ?= pkg-config
gateway_needs = libmicrohttpd libpq libcjson cjose libcrypto zlib
client_needs = sqlite3 libcurl libcrypto
parts = extension $(foreach part, gateway client, \
	$(shell $(PKG_CONFIG) --exists $($(part)_needs) 2>/dev/null && echo $(part)))
left_out = $(filter-out $(parts), gateway client)

all: $(parts)
ifneq ($(strip $(left_out)),)
	@echo 'Not built, for want of libraries: $(strip $(left_out)). As root, `make deps` installs them.'
endif

extension:
	$(MAKE) -C extension all

gateway:
	$(MAKE) -C gateway all

client:
	$(MAKE) -C client all

install: all
	for part in $(parts); do $(MAKE) -C $$part install || exit; done

uninstall:
	for part in extension gateway client; do $(MAKE) -C $$part uninstall || exit; done

installcheck:
	$(MAKE) -C extension installcheck

clean:
	$(MAKE) -C extension clean
	$(MAKE) -C gateway clean
	$(MAKE) -C client clean
	$(RM) -r dist
	$(RM) test/bench/load test/bench/slow test/bench/cost
	$(RM) -r test/fuzz/build

deps:
	@scripts/deps build

packages:
	@scripts/packages

dist:
	@scripts/dist

test:
	@scripts/test

# not SECONDS itself: a shell counts in that variable
soak:
	@SOAK_SECONDS=$(or $(SECONDS),600) scripts/test property
	@SECONDS=$(or $(SECONDS),600) STEP=1 prove --norc -v $(addprefix test/client/, network.t memory.t disk.t)
	@FAILOVERS=20 prove --norc -v -Itest/lib test/fault/failover.t

mutants:
	@scripts/mutants $(MUTANTS)

fuzz:
	@scripts/deps
	@FUZZ_SECONDS=$(or $(SECONDS),600) test/fuzz/run

demo:
	@scripts/demo $(DEMO_ARGS)

bench:
	@scripts/bench $(BENCH_ARGS)

bench-before:
	@scripts/bench-before $(BEFORE)

indent:
	@scripts/indent
