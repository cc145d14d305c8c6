package console

func chineseTexts() words { return words{} }
