"""The gas meter: a volume that grows, a valve, a battery, and a receiver that is mostly off.

When it hears is the HAN's business (`emulator.han.sleepy`); here stand its registers, its valve, and what it tells the
hub so that the hub can show them while the meter sleeps.
"""
