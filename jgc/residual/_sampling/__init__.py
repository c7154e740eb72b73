"""How `monte_carlo` samples: why it is more than `vmap` over `jax.random.bernoulli`.

A residual error is a mean over masks. Two things make the plain mean of decoded random
masks a poor answer, and each file here is for one of them.

It is slow. On 2 CPU cores `jax.random.uniform` takes about 23 times as long for a
Bernoulli draw as `random_masks`, and with 10 workers the draws are most of a trial:
`python -m benchmarks.residual_error` has the figures, "Random bits" for the draws and
the rest for whole calls beside tuned NumPy.

    random_masks     Threefry written out, 16 bits a draw, four trials a word
    sparse_rows, squared_error   a fixed decoder as one product, or by its edges
    blocks, driver   blocks of trials under one loop, on all devices and cores, in
                     bounded memory; the answer does not depend on their number
    cases, stacking  several plans in one call; with few workers, a table of all masks

It is wrong where rare masks carry the error. Of workers that straggle once in 10,000
iterations a sample has none, the sample's variance is 0, and a run that stops at a
target precision stops early on just such samples. `python -m benchmarks.coverage` holds
intervals against the truth, for every family of decoders.

    proposals        masks are drawn from a mixture of laws under which rare outcomes,
                     many stragglers and lost partitions are common, and weighted;
                     no weight exceeds 2
    control_variates what is known of a mask takes noise away, by coefficients of a
                     pilot, so that the mean stays unbiased
    moments, estimates   counts the events that carry a variance: with too few there is
                     no standard error, and controls are not believed
    model_masks, unseen  masks of a straggler model come as they come; what a worker's
                     rarer outcome would add, if too rare for the sample, is tried out
    progress         a bar for long runs
"""
