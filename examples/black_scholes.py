"""The price of an option and all its Greeks, which are its derivatives, of the formula as one writes it.

Run: python examples/black_scholes.py [picture.png]
"""

import sys

import numpy as np
from matplotlib.figure import Figure
from scipy.special import ndtr
from scipy.stats import norm

import wengert as wg


def call(spot, strike, rate, sigma, years):
    """Black and Scholes (1973)."""
    d1 = (np.log(spot / strike) + (rate + sigma**2 / 2) * years) / (sigma * np.sqrt(years))
    d2 = d1 - sigma * np.sqrt(years)
    return spot * ndtr(d1) - strike * np.exp(-rate * years) * ndtr(d2)


by_spot, by_sigma = wg.grad(call), wg.grad(call, argnums=3)
GREEKS = {
    "price": call,
    "delta = ∂V/∂S": by_spot,
    "gamma = ∂²V/∂S²": wg.grad(by_spot),
    "theta = -∂V/∂T": lambda *args: -wg.grad(call, argnums=4)(*args),
    "vega = ∂V/∂σ": by_sigma,
    "rho = ∂V/∂r": wg.grad(call, argnums=2),
    "vanna = ∂²V/∂S∂σ": wg.grad(by_spot, argnums=3),
    "volga = ∂²V/∂σ²": wg.grad(by_sigma, argnums=3),
}


def main(path):
    spots, strike, rate, sigma = np.linspace(60, 140, 401), 100.0, 0.03, 0.25
    figure = Figure(figsize=(10, 4.6), dpi=150)
    axes = figure.subplots(2, 4, sharex=True)
    for axis, (name, greek) in zip(axes.flat, GREEKS.items(), strict=True):
        along = wg.compile(wg.vmap(greek, in_axes=(0, None, None, None, None)))
        for years, color in ((0.1, "#d1495b"), (0.5, "#1f6f8b"), (1.0, "#9bbfcc")):
            axis.plot(
                spots, along(spots, strike, rate, sigma, years), color=color, label=f"T = {years:g} years"
            )
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[1]:
        axis.set_xlabel("spot price S", fontsize=8)
    axes[0, 0].legend(frameon=False, fontsize=8)

    d1 = (np.log(spots / strike) + (rate + sigma**2 / 2) * 0.5) / (sigma * np.sqrt(0.5))
    gamma = wg.vmap(GREEKS["gamma = ∂²V/∂S²"], in_axes=(0, None, None, None, None))
    expected = norm.pdf(d1) / (spots * sigma * np.sqrt(0.5))  # Hull, Options, Futures and Other Derivatives
    error = np.abs(gamma(spots, strike, rate, sigma, 0.5) / expected - 1).max()
    print(f"{len(GREEKS)} functions of {len(spots)} prices; gamma is off by {error:.0e} of itself")
    assert error < 1e-10, "gamma is not what the textbook says"
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "black_scholes.png")
