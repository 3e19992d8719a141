import unittest

from purl import instruction, spread


class Spacing(unittest.TestCase):
    def test_an_even_row_has_even_gaps(self) -> None:
        self.assertEqual((12,) * 8, spread(96, 8))

    def test_an_uneven_row_has_its_wider_gaps_first(self) -> None:
        self.assertEqual((4, 4, 3), spread(11, 3))

    def test_the_row_is_written_like_a_pattern(self) -> None:
        self.assertEqual("k3, m1, k3, m1", instruction(6, 2))

    def test_more_increases_than_stitches_are_refused(self) -> None:
        with self.assertRaises(ValueError):
            spread(3, 4)


if __name__ == "__main__":
    unittest.main()
