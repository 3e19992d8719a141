import unittest

from purl import count, expand


class Rows(unittest.TestCase):
    def test_a_repeat_is_written_out(self) -> None:
        self.assertEqual(["k1", "k2", "p2", "k2", "p2", "k1"], expand("k1, *k2, p2* x2, k1"))

    def test_a_row_is_counted_with_its_repeats(self) -> None:
        self.assertEqual(32, count("k4, *k2, p2* x6, k4"))

    def test_a_stitch_without_a_number_is_one_stitch(self) -> None:
        self.assertEqual(3, count("k, p, k"))

    def test_what_is_no_stitch_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            count("k4, oops!")


if __name__ == "__main__":
    unittest.main()
