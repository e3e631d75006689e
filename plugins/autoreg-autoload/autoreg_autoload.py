"""What Python calls as it starts, in an environment that has this distribution."""


def arm() -> None:
    """Have autoreg's plugins activated when the process imports transformers; AUTOREG_AUTOLOAD=0 keeps them away.

    Called by `autoreg-autoload.start` from Python 3.15 on, by the one line of `autoreg-autoload.pth` before it.
    """
    try:
        from autoreg.autoload.path.sitecustomize import arm as arm_process

        arm_process()
    except Exception:
        # autoreg is gone or broken. Every Python of the environment runs this, the pip that mends it too: be silent.
        return
