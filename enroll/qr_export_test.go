package enroll

// QRPNG draws a QR code, for tests.
func QRPNG(text string) ([]byte, error) { return qrPNG(text) }
