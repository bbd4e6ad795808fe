"""The painter of the embedded dataset: dice, canvas, and the families of pictures."""
