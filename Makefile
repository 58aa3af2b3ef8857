# pg_tide: the extension (extension/), the gateway (gateway/) and the client
# (client/).
#
#   make, make install, make clean, make installcheck   as with PGXS
#   make test    everything, on a throw-away PostgreSQL
#   make demo    two devices, one athlete, on a throw-away PostgreSQL
#   make soak SECONDS=600
#                the random ones of the tests, each for so long
#   make fuzz SECONDS=600
#                the fuzzers, each for so long
#   make mutants which test notices when a guard is taken out, for each guard
#   make bench   what tracking, pushing and pulling cost
#   make deps    the packages that all of these need
#   make indent  PostgreSQL's own code layout (needs pg_bsd_indent)
#
# PG_CONFIG=/path/to/pg_config picks the PostgreSQL.

ifneq ($(origin PG_CONFIG), undefined)
export PG_CONFIG
endif

.PHONY: all extension gateway client install installcheck clean test soak fuzz mutants demo bench deps indent

all: extension gateway client

extension:
	$(MAKE) -C extension all

gateway:
	$(MAKE) -C gateway all

client:
	$(MAKE) -C client all

install: all
	$(MAKE) -C extension install
	$(MAKE) -C gateway install
	$(MAKE) -C client install

installcheck:
	$(MAKE) -C extension installcheck

clean:
	$(MAKE) -C extension clean
	$(MAKE) -C gateway clean
	$(MAKE) -C client clean
	$(RM) test/bench/load test/bench/slow test/bench/cost
	$(RM) -r test/fuzz/build

deps:
	@scripts/deps

test:
	@scripts/test

# not SECONDS itself: a shell counts in that variable
soak:
	@SOAK_SECONDS=$(or $(SECONDS),600) scripts/test property

mutants:
	@scripts/mutants $(MUTANTS)

fuzz:
	@scripts/deps
	@FUZZ_SECONDS=$(or $(SECONDS),600) test/fuzz/run

demo:
	@scripts/demo $(DEMO_ARGS)

bench:
	@scripts/bench $(BENCH_ARGS)

indent:
	@scripts/indent
