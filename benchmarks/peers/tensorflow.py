"""TensorFlow: tf.function of the gradient, or of gradient and its fused Adam."""

import numpy as np
import tensorflow as tf

from ..workloads import BETAS, EPSILON_HAT, LEARNING_RATE, Call, Net


def about(threads: int) -> dict[str, object]:
    """Takes the number of threads."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return {"version": tf.__version__}


def flat(tensors) -> np.ndarray:
    """Weights and biases in the common order."""
    return np.concatenate([t.numpy().ravel() for t in tensors])


def train(net: Net, kind: str, jit_compile: bool = False) -> Call:
    """One call of a tf.function."""
    start, x, y = net.batch()
    theta = [tf.Variable(part) for layer in net.layers(start) for part in layer]
    x, y = tf.constant(x), tf.constant(y)
    activate = tf.tanh if net.activation == "tanh" else tf.nn.relu
    function = tf.function(jit_compile=jit_compile)

    def apply():
        h = x
        for k in range(0, len(theta), 2):
            h = h @ theta[k] + theta[k + 1]
            h = activate(h) if k + 2 < len(theta) else h
        return h

    def loss():
        if net.loss == "squared_error":
            return tf.reduce_mean((apply() - y) ** 2)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, apply()))

    def gradient():
        with tf.GradientTape() as tape:
            value = loss()
        return value, tape.gradient(value, theta)

    (beta1, beta2), dtype = BETAS, theta[0].dtype
    powers = [tf.Variable(tf.constant(beta, dtype)) for beta in BETAS]
    state = [(tf.Variable(tf.zeros_like(p)), tf.Variable(tf.zeros_like(p))) for p in theta]

    def step():
        value, slopes = gradient()
        for p, slope, (mean, square) in zip(theta, slopes, state, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=p.handle, m=mean.handle, v=square.handle, beta1_power=powers[0], beta2_power=powers[1],
                lr=tf.constant(LEARNING_RATE, dtype), beta1=tf.constant(beta1, dtype),
                beta2=tf.constant(beta2, dtype), epsilon=tf.constant(EPSILON_HAT, dtype), grad=slope,
            )  # fmt: skip
        for power, beta in zip(powers, BETAS, strict=True):
            power.assign(power * tf.constant(beta, dtype))
        return value

    run = function({"forward": apply, "gradient": gradient, "step": step}[kind])

    def check() -> np.ndarray:
        answer = run()
        if kind == "forward":
            return answer.numpy()
        return flat(answer[1]) if kind == "gradient" else flat(theta) - start

    return Call(run, check)
