# side.py: how a peer answers bench.lua: to each line "KEY SECONDS" of standard input one line, "SECONDS LOSS": what a step
# of that model takes, timed for so long, and its loss after three steps; or "none REASON". A model is made once.
import sys
import time


# The median of rounds of at least a sixth of the time each.
def time_of(step, seconds):
    rounds = []
    for _ in range(6):
        begin, n = time.perf_counter(), 0
        while True:
            step()
            n += 1
            if time.perf_counter() - begin > seconds / 6:
                break
        rounds.append((time.perf_counter() - begin) / n)
    rounds.sort()
    return (rounds[2] + rounds[3]) / 2


# models: for each key a function that gives a step; seed: called before it.
def serve(version, models, seed):
    print(version, flush=True)
    made = {}
    for line in sys.stdin:
        key, seconds = line.split()
        try:
            if key not in made:
                seed()
                step = models[key]()
                made[key] = step, [step() for _ in range(3)][2]
            step, loss = made[key]
            print("%.9f %.9g" % (time_of(step, float(seconds)), loss), flush=True)
        except Exception as error:
            print("none", type(error).__name__, *str(error).split(), flush=True)
