/**
 * How a property test runs. `FAST_CHECK_RUNS` sets the number of runs (else `runs`), `TEST_SEED` the seed; a failure
 * prints both seed and path, and `TEST_SEED=<seed> FAST_CHECK_PATH=<path>` replays exactly that counterexample.
 */
export const propertySettings = (
  runs = 2000,
): { numRuns: number; seed: number; path?: string; endOnFailure: boolean } => {
  const seed = Number(process.env['TEST_SEED']) || Date.now() & 0x7fffffff
  const path = process.env['FAST_CHECK_PATH']
  return {
    numRuns: Number(process.env['FAST_CHECK_RUNS']) || runs,
    seed,
    endOnFailure: path !== undefined,
    ...(path === undefined ? {} : { path }),
  }
}
