"""The honest federation as a Flower app, and the positions in it that an attacker can take."""
