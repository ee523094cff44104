"""emoadapt: emotion-aware speech models from unlabelled audiovisual clips."""

__version__ = "0.1.0"
